"""The plans and locks of the named statements on tables of a realistic size."""
