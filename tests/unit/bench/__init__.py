"""What the measurements stand on: counting, copying, tables and pictures."""
