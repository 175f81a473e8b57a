"""Keep the store in memory: the same executors as on PostgreSQL, over statements written in plain Python.

``store/sql`` holds one file a statement; this room holds one function a statement, of the same name, parameters and
columns. Everything above the statements (``store.postgres``, ``store.planning``, ``store.schedule``, the doors) is the
real thing. It keeps the promises of the ports, passes the same suites, and knows neither locks nor snapshots: every
transaction here runs alone.
"""
