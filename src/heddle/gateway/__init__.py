"""Serve our models in other people's shapes: OpenAI's and Replicate's, so that a team switches by changing an address.

A gateway is a worker with an HTTP face: a request becomes a durable run of one call, this process takes it at once, and
the answer goes to the open connection when it has been settled and booked. This room translates shapes and waits; it
refuses to admit, limit, retry or price by itself: that is the client's law and the engine. A customer's client stands
before it, ``heddle.client`` and ``heddle.engine.calls`` behind it.
"""
