"""Observe, decide, apply: the only place where the core meets Kubernetes and Postgres.

    job           one job's loop: observe, decide, apply
    schedule      one schedule's loop
    queues        what queues allow
    template      one template's loop
    kinds         the kinds that are watched, one row each
    reconciler    takes a key to its kind's loop
    setup         what the loops of all kinds are made from
    children      the reads and writes by which a parent creates its children
    state         the caches, and what is remembered; fed by watches, lists and our own writes
    history_feed  writes to history what a change of a job tells
    reporting     log lines and Events
    waits         which jobs wait for which others
    slots         queue entries, slots and sessions
    slot_news     what PostgreSQL may not know yet of slots
    lists         full lists: before the first decision, and now and then
    ports         the protocols of the surroundings

Everything held in memory here can be lost at any time: it is rebuilt from a LIST and asked again.
"""

from agentjobs.reconcile.reconciler import Reconciler

__all__ = ["Reconciler"]
