"""One job's loop.

reconciler     observe, decide, load facts or apply, for one key
specs          which spec counts for a job
trial          whether the API server would take a job's pod, asked before acceptance
acceptance     the resolved spec is stored
facts          what decide has to know, asked
apply          what decide wants, done
pods           pods are made or adopted
prerequisites  what they need is made before, and handed over to them
story          log lines, Events and traces about what was done
memo           what is remembered of a job between two passes
rows           records of history and values of status
ends           whether history has how a job ended
"""
