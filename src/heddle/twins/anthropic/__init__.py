"""Stand in for Anthropic's Messages API: messages, whole and streamed, token counts and models.

This folder answers as https://platform.claude.com/docs/en/api describes and takes payment for messages alone. It
refuses what the API refuses: an unknown version, a body without messages or ``max_tokens``.
"""
