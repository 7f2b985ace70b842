"""Observe, decide, apply: the only place where the core meets Kubernetes and Postgres.

`reconciler` runs one job's loop, `slots` remembers who waits for and who holds a slot, `specs` knows what was accepted.
Everything held in memory here can be lost at any time: it is rebuilt from a LIST and asked again.
"""

from agentjobs.reconcile.reconciler import Key, Reconciler

__all__ = ["Key", "Reconciler"]
