"""Prove what the telemetry room promises: the catalogue, the recorder, the context, the lines."""
