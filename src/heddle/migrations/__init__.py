"""Django's letterbox for schema changes: shape only, no data, and no partitions (``heddle.store.partitions`` makes
those).
"""
