"""The tests of Heddle, a ladder: each rung may use more of the real world than the one before it."""
