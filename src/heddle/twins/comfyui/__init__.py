"""Stand in for ComfyUI: graphs are checked, queued and worked on one by one, files are stored and shown."""
