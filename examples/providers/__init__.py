"""Adapters of one's own, named in heddle.toml by module and class."""
