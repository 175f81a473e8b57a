"""The real program, started as a user starts it, and killed."""
