"""Run predictions in containers that Cog has built.

This folder speaks the HTTP API of a Cog container: it creates a prediction under an id of ours, attaches to a running
one, cancels it and keeps its files. It refuses to start a prediction under an id of the container's choosing, which no
repetition could find again. Execute and poll stand before it, settle behind it.
"""
