"""Run the synchronous steps of authors away from the worker's loop.

This room bounds their time, memory and crashes, and refuses to know what a step means. Execute stands before it,
settle behind it.
"""
