"""Run ComfyUI graphs as jobs on one's own GPU.

This folder fills a graph with a step's input, submits it under an id of ours, follows it through queue and history and
copies its files into artifacts. It refuses graphs of the editor's form and jobs of other servers. Execute and poll
stand before it, settle behind it.
"""
