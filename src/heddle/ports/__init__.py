"""What the engine and the doors need from the outside, as Protocols with their promises, and the records that cross
them.
"""
