"""Stand in for RunPod's serverless endpoints."""
