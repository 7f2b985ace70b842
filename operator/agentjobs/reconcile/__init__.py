"""Observe, decide, apply: the only place where the core meets Kubernetes and Postgres.

    reconciler   one job's loop
    schedules    one schedule's loop
    state        what is known: caches, memories; fed by watches, lists and our own writes
    slots        who waits for a slot and who has been promised one
    specs        which spec counts for a job
    acceptance   what the spec names is read, what will run is stored
    actions      one method a verdict
    rows         what history and status keep, made from values
    ports        what all of it needs of its surroundings

Everything held in memory here can be lost at any time: it is rebuilt from a LIST and asked again.
"""

from agentjobs.reconcile.reconciler import Reconciler
from agentjobs.reconcile.state import Key

__all__ = ["Key", "Reconciler"]
