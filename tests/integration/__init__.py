"""One room with the real thing behind it: PostgreSQL, processes, sockets."""
