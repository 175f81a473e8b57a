"""Speak to model services and third parties, one folder each.

This room turns requests into wire form and answers into outcomes by a table, and refuses to retry, which is the
engine's to decide. Execute and poll stand before it, settle behind it.
"""
