"""Stand in for fal.ai's queue, its files and its published keys."""
