"""What the gateway decides by itself: mappings, streams, refusals, spans."""
