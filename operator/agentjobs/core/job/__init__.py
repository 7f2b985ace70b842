"""What happens to a job next.

decide       observation in; a need or an action out
holds        what keeps a job from its next start, as a list
budget       what follows when a job has spent what it may
end_start    what follows from the end of a start
following    what is done about the follow-ups of a job that has ended
follow_ups   the jobs that follow it, made from its answer
awaiting     the jobs that a job waits for, and who can never go on
models       the models that a spec names
observation  what `decide` looks at
ended        the summary that is kept of an idle job
needs        facts that `decide` may have to ask for first
actions      what the operator may do to a job
progress     the status that an action leaves behind
policy       the job's own rules for endings
retry        backoff
"""
