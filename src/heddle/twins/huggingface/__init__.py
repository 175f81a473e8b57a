"""Stand in for Hugging Face's servers: a dedicated endpoint's tasks and text generation inference."""
