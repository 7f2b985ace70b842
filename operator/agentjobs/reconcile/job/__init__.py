"""One job's loop.

reconciler  observe, decide, apply, for one key
specs       which spec counts for a job
trial       whether the API server would take a job's pod, asked before acceptance
acceptance  references are read, the resolved spec is stored
actions     one method a verdict
egress      a restricted job's network policy
story       decisions carried out, told in the log, Events and traces
rows        records of history and values of status
ends        whether history has how a job ended
"""
