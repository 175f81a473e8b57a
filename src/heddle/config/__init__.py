"""Everything that can be configured: settings (``settings``) and what runs where (``deployment``, read from
``heddle.toml``).
"""
