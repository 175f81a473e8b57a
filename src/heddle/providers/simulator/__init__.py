"""The adapter of a third-party image generator that is not there; its server is a twin, ``heddle.twins.simulator``."""
