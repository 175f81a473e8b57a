"""Order predictions of models, versions and deployments hosted at Replicate.

This folder speaks Replicate's HTTP API: it creates predictions, asks after them, cancels them, verifies their webhooks
and copies their files before they are deleted. It refuses to repeat a creation, which Replicate could not tell from a
new one. Execute and poll stand before it, settle behind it.
"""
