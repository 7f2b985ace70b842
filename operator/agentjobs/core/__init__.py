"""The pure part: what happens next, decided from values alone. A folder a kind.

Nothing here does I/O, reads a clock or knows kopf, SQL or HTTP; `now` is always an argument. `agentjobs.reconcile`
observes, asks, and carries out.

    job       what happens to a job next: `job.decide` is the heart, read it first
    schedule  what happens to a schedule next
    queues    which waiting jobs start now
    pods      the pod of a start: how it is made, and what its end means
    children  objects that a parent creates, each exactly once
"""
