"""Predict with models on Google's Vertex AI, at once or as a long-running operation.

This folder predicts once, asks after operations and copies their media, inline or from Cloud Storage. It refuses to
fetch tokens without google-auth, which the extra `gcp` brings. Execute and poll stand before it, settle behind it.
"""
