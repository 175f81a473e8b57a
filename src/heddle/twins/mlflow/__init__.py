"""Stand in for MLflow's scoring server, with one small model behind it."""
