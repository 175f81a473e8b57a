"""Ask Anthropic's Messages API, streaming or not.

This folder turns a step's input into one request to ``POST /v1/messages`` and the answer, whole or gathered from a
stream, into an outcome by a table. It refuses to retry and to count a stream as done that did not say so. Execute
stands before it, settle behind it.
"""
