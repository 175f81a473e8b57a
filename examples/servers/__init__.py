"""Servers the examples call: the model server a company would run itself. Started by `heddle up` in development."""
