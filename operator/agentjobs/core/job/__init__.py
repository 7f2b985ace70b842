"""What happens to a job next.

decide       observation in; a need or an action out
holds        what keeps a job from its next start, as a list
budget       what follows when a job reaches its budget
end_start    what follows from the end of a start
following    what `decide` does about follow-ups of a finished job
follow_ups   the follow-up jobs, made from its answer
awaiting     the jobs that a job waits for, and cycles
models       the models that a spec names
observation  the input of `decide`
ended        the summary that is kept of an idle job
needs        facts that `decide` may need first
actions      what the operator may do to a job
progress     the new status after an action
policy       the job's own rules for endings
retry        backoff
"""
