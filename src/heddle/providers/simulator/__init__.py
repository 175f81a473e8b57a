"""A third-party image generator that is not there: its server, and the adapter that speaks to it.

`server` and the modules beside it behave like a provider one pays: slow, limited, sometimes down, and answering later.
`adapter` is what the engine sees. The two share nothing but the wire form README.md describes.
"""
