"""The twins: their kit, and each vendor's own client at work against its twin."""
