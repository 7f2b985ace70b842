"""Decisions about jobs, schedules and queues, as pure functions. Each kind has a folder.

Nothing here does I/O, reads a clock or imports kopf, SQL or HTTP; `now` is always an argument. `agentjobs.reconcile`
observes, answers needs, and applies actions.

    job       what happens to a job next; read `job.decide` first
    schedule  what happens to a schedule next
    template  an AgentTemplate as a value
    queues    which waiting jobs start now
    pods      the pod of a start: its manifest, and what its end means
    children  objects that a parent creates exactly once
"""
