"""Stand in for Triton: the Open Inference Protocol V2 and Triton's extensions over HTTP, with a few small models."""
