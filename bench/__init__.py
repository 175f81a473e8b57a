"""Measure Heddle end to end on this machine: the real engine, the embedded PostgreSQL, durable defaults.

`python -m bench` runs everything; README.md says how each figure is made. Nothing here is imported by the product.
"""
