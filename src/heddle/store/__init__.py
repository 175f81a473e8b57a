"""PostgreSQL: the shape of the tables, one named statement a file, and two thin executors that serve them.

``django`` (sync, Django's own connection, joins the host's transaction) serves the doors; ``postgres`` (async
psycopg pool) serves the workers. Nothing here decides.
"""
