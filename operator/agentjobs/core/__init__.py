"""The pure part: what happens to a job next, decided from values alone.

Nothing here does I/O, reads a clock or knows kopf, SQL or HTTP; `now` is always an argument. `decide` is the heart, the
other modules are its vocabulary. `agentjobs.reconcile` observes, asks, and carries out.
"""
