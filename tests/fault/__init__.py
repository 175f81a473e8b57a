"""Parts killed, cut off or slowed while others rely on them."""
