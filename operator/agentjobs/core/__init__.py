"""Decisions about jobs and schedules, from values alone. Each kind has a folder.

Nothing here does I/O, reads a clock or knows kopf, SQL or HTTP; `now` is always an argument. `agentjobs.reconcile`
observes, answers needs, and applies actions.

    job       what happens to a job next; read `job.decide` first
    schedule  what happens to a schedule next
    template  what is kept of a template
    queues    which waiting jobs start now
    pods      the pod of a start: how it is made, and what its end means
    children  objects that a parent creates, each exactly once
"""
