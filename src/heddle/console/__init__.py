"""Show runs, steps, money and health to a person.

This room renders what the client tells it, without a request to another host, and refuses to change state except
through the client. A browser stands before it, the client behind it.
"""
