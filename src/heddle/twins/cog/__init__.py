"""Stand in for a container that Cog has built: predictions by id, as events or later, with slots and health.

This folder answers as coglet does, asks for no key, and forgets a prediction when it ends. It refuses webhooks that
leave this machine.
"""
