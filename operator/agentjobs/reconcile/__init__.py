"""Observe, decide, apply: connects the core with Kubernetes and Postgres.

    job           one job's loop: observe, decide, apply
    schedule      one schedule's loop
    queues        policies and status of queues
    template      one template's loop
    kinds         the watched kinds, one row each
    reconciler    dispatches a key to its kind's loop
    setup         dependencies of the loops of all kinds
    children      the reads and writes by which a parent creates its children
    state         the caches and other memory; fed by watches, lists and our own writes
    history_feed  writes changes of jobs to history
    reporting     log lines and Events
    waits         which jobs wait for which others
    slots         queue entries, slots and sessions
    slot_changes  slots that PostgreSQL may not have yet
    lists         full lists: before the first decision, and periodically
    ports         protocols of external dependencies

Everything in memory can be lost at any time: it is rebuilt from a LIST and read again.
"""

from agentjobs.reconcile.reconciler import Reconciler

__all__ = ["Reconciler"]
