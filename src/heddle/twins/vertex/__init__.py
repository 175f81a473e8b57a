"""Stand in for Google's Vertex AI, its token server and its Cloud Storage."""
