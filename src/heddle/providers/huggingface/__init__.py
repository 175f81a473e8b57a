"""Call models behind Hugging Face's servers: dedicated endpoints, text generation inference, the inference router.

This folder writes a step's input as JSON or as the bytes of one medium and takes JSON, a medium or a stream of tokens
back. It refuses to wait for a model that is loading: the engine comes back. Execute stands before it, settle behind it.
"""
