"""Give authors their words: workflow, step, model and the call that stands for a result.

This room turns Python functions into registered definitions and steps a workflow by hand over its journal. It refuses
to touch a database, Django or the running loop; the engine's activation stands after it.
"""
