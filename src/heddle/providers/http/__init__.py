"""Call any synchronous JSON endpoint by configuration alone.

This folder turns a step's input into one HTTP request as ``heddle.toml`` describes it and the answer into an outcome
by a table. It refuses to poll, to retry and to guess: an answer of another form than configured is a fault. Execute
stands before it, settle behind it.
"""
