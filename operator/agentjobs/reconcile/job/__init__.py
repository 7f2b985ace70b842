"""One job's loop.

reconciler     observe, decide, load facts or apply, for one key
specs          which spec counts for a job
trial          whether the API server would take a job's pod, asked before acceptance
acceptance     stores the resolved spec
left_slots     gives back slots that a dead operator left
facts          answers the needs of decide
awaiting       how the jobs stand that a job waits for, and what its texts read of them
exhausted      which models are at their limits, asked for all jobs at once
apply          applies the actions of decide
pods           makes or adopts pods
follow_ups     makes or finds the jobs of follow-ups
claims         makes the volumes that outlive pods
prerequisites  makes what pods need, and makes the pods owners of it
story          log lines, Events and traces about what was done
memo           what is remembered of a job between two passes
rows           records of history and values of status
ends           whether history has how a job ended
"""
