"""Measure the queues and engines that a user would pick instead, on the same machine, with the same work, beside us.

`python -m bench.peers` runs it; README.md says what each is set to and why. Modules named `on_…`, and what they import
from here, run in environments of their own that know nothing of Heddle, so they need only Python and their queue.
"""
