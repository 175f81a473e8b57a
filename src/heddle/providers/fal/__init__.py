"""Order media from fal.ai through its queue.

This folder submits a job once, asks after it at the addresses fal gave, copies what it links to and verifies fal's
callbacks. It refuses to repeat a submission: fal has no key to repeat it under. Execute and poll stand before it,
settle behind it.
"""
