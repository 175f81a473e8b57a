"""Stand in for OpenAI's API: README.md beside this file says what is served."""
