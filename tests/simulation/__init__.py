"""Whole days replayed from one seed, on fake clocks."""
