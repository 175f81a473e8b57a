"""Pure functions and records, on tables readable aloud; no Django, no server, no file."""
