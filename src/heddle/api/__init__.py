"""Serve the HTTP contract under /v1.

This room parses at the edge, calls the client and renders records, and refuses to decide anything or to touch the
store. The web server stands before it, the client behind it.
"""
