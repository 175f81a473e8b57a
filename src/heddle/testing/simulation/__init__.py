"""Run the real engine on a virtual clock: workers, a store in memory, a doorbell and providers, all from one seed.

Time passes only when nothing is left to do, no thread runs and no socket is opened, so that a seed gives the same day
every time. A worker is a process of the loop: it can be killed or frozen between any two of its moves. Neighbours:
``testing.memory`` keeps the store; tests say what happens and what must hold.
"""
