"""Run jobs on a RunPod serverless endpoint.

This folder submits a job once, asks after it and copies its media. It refuses to believe an unsigned callback: that
only makes the next look due. Execute and poll stand before it, settle behind it.
"""
