"""Observe, decide, apply: the only place where the core meets Kubernetes and Postgres.

    reconciler   one job's loop
    schedules    one schedule's loop
    state        what is known: caches, memories; fed by watches, lists and our own writes
    slots        who waits for a slot, who holds one, and who uses a session
    specs        which spec counts for a job
    trial        whether the API server would take a job's pod, asked before acceptance
    acceptance   what the spec names is read, what will run is stored
    actions      one method a verdict
    egress       a restricted job's network policy
    story        what was done, told in the log, Events and traces
    kept         stores of bounded size
    rows         what history and status keep, made from values
    ends         whether history has how a job ended
    lists        full lists: before the first decision, and now and then
    ports        what all of it needs of its surroundings

Everything held in memory here can be lost at any time: it is rebuilt from a LIST and asked again.
"""

from agentjobs.reconcile.reconciler import Reconciler
from agentjobs.reconcile.state import Key

__all__ = ["Key", "Reconciler"]
