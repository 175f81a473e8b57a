"""Measure what a gateway adds to a call: ours, which makes each call durable, limited and booked, and LiteLLM's proxy.

The same client asks the same vendor at the same steady rate, directly and through each. Nothing of the product is
changed for it. Before it: `make bench-gateway`. After it: `bench/results`.
"""
