"""Stand in for the vendors: wire-exact local servers of their APIs, with faults from a seed.

A twin answers like its vendor does, takes payment in a ledger on disk, and on purpose throttles, hangs, cuts, lies and
loses callbacks, so that whoever calls the vendor can be tried out without spending a cent. It listens on loopback only
and calls nobody but loopback. This room imports the law and the webhook signer, never an adapter: a twin that shared an
adapter's reading of the wire would share its mistakes.
"""
