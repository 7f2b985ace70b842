"""The pure part: what happens to a job next, decided from values alone.

Nothing here does I/O, reads a clock or knows kopf, SQL or HTTP; `now` is always an argument. `agentjobs.reconcile`
observes, asks, and carries out.

    decide                what happens to a job next: the heart, read it first
    end_start             its part about a start that is over
    observation           what `decide` looks at
    verdicts              what it may answer
    progress              the status that a verdict leaves behind
    pods                  a pod as decisions see it
    diagnose              how a start ended, from the facts about its pod
    policy                the job's own rules for endings
    retry                 backoff
    admission             which waiting jobs of a queue start now
    line                  those who wait in a queue, the best first
    manifests             the pod of a start and the network policy of a job
    pod_words             what an API server says against a pod, in the words of the job
    allowed               what an installation lets jobs ask for
    plan                  a schedule as its object says it
    schedule              what happens to a schedule next
    schedule_observation  what `schedule` looks at
    schedule_verdicts     what it may answer
    scheduled_job         the job of one start of a schedule
"""
