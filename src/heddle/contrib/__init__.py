"""Open other people's doors to Heddle.

This room holds one module for each foreign interface and refuses to add a meaning of its own. Their callers stand
before it, the client behind it.
"""
