"""Hold the ready-to-run project: settings, addresses, the embedded PostgreSQL and the supervisor.

This room starts and stops processes and refuses to know what they do inside. The command line stands before it, the
web server, the workers and the database behind it.
"""
