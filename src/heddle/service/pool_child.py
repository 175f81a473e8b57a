"""Prepare a child of the compute pool: where its steps find artifacts.

Workers name this module in the pool's `preload`; importing it is the preparation, which is why it alone has an effect
at import. Django's setup, which loads the workflows, has run before. After it: the steps.
"""

from heddle import wiring

wiring.install_artifacts()
