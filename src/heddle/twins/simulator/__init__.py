"""The simulated provider's server: a third-party image generator that is not there."""
