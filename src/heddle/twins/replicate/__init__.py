"""Stand in for Replicate: predictions, webhooks, files, models and the account.

This folder answers as https://replicate.com/docs/reference/http describes, takes payment for predictions alone, and
serves their files without a key, as replicate.delivery does. It refuses webhooks that leave this machine.
"""
