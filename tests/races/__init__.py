"""Two connections in every order that matters, each step taken when the database shows the lock wait."""
