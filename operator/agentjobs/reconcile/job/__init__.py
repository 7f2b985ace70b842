"""One job's loop.

reconciler      observe, decide, load facts or apply, for one key
specs           the effective spec of a job
dry_run         dry runs of a job's pod before acceptance
acceptance      stores the resolved spec
orphaned_slots  gives back slots that a crashed operator left claimed
facts           answers the needs of decide
awaiting        state of the jobs that a job waits for, and the values that its texts read
exhausted       models at their limits, read once for all jobs
apply           applies the actions of decide
pods            creates or adopts pods
follow_ups      creates or finds the jobs of follow-ups
prerequisites   creates what pods need, and makes the pods its owners
reporter        log lines, Events and traces about actions
memo            memory of a job between passes
rows            records of history and values of status
end_recorded    whether history has a job's end
"""
