"""Give the public test kit: memory store, fake clock, scripted provider, fixtures and the suites of the ports.

This room is for the tests of Heddle and of its users, and refuses to be imported by the house itself. A test stands
before it, the ports behind it.
"""
