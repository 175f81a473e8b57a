"""The policies: each file is one law of how Heddle waits, limits, prefers and stops.

Every policy is an options record (validated, each number with its source), a state record where it remembers
something, and pure functions ``(options, state, event, now, rng) -> (state, decision)``. Nothing here reads a clock,
draws chance of its own, does I/O or knows where its state is kept: the engine hands everything in and the store keeps
what comes back. Door and intake ask ``admission`` and ``budget``; the claim asks ``fairness``, ``route``,
``breaker``, ``ratelimit``, ``concurrency`` and ``deadline``; settle asks ``retry``, ``backoff`` and ``budget``; the
sweep asks ``retention`` and ``health``; the leader asks ``objective`` and ``canary`` of ``scorecard``s, and a worker
``quality``. ``bounds`` holds the one form of complaint about an option out of range.
"""
