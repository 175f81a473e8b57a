"""Let a worker learn that work is ready.

This room rings doorbells and refuses to carry work: the truth stays in the store, and a lost ring costs one poll
interval. Settle and admit stand before it, claim behind it.
"""
