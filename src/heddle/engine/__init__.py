"""Carry a step through the walk: admit, activate, claim, execute, poll, settle, deliver.

This room holds one module for each stage and the worker that drives them. It refuses SQL, Django and HTTP: the law in
core decides, the ports act, and the engine only brings the two together.
"""
