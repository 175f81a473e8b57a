"""Hold what all twins share: fates from a seed, a ledger on disk, jobs, callbacks, a server, and small media.

A vendor's folder adds routes, states and the form of answers, and nothing else.
"""
