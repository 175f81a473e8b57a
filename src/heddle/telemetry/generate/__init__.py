"""Write what follows from the catalogue: Prometheus rules, the Grafana dashboard, the reference tables and a page for
each runbook.

Run as ``python -m heddle.telemetry.generate``; with ``--check`` it writes nothing and fails when a file is not what it
would write. It decides nothing: whatever is wrong in an output is mended in the catalogue. Before it: ``catalog``.
After: ``ops/`` and ``docs/``.
"""
