"""Observe, decide, apply: the only place where the core meets Kubernetes and Postgres.

    job          one job's loop: observe, decide, apply
    schedule     one schedule's loop
    state        what is known: caches, memories; fed by watches, lists and our own writes
    slots        who waits for a slot, who holds one, and who uses a session
    kept         stores of bounded size
    lists        full lists: before the first decision, and now and then
    ports        what all of it needs of its surroundings

Everything held in memory here can be lost at any time: it is rebuilt from a LIST and asked again.
"""

from agentjobs.reconcile.job.reconciler import Reconciler
from agentjobs.reconcile.state import Key

__all__ = ["Key", "Reconciler"]
