"""Which waiting jobs of a queue start now.

model      an AgentQueue as a value
policy     what a queue allows
budgets    periods of the calendar, and what is left in them
tally      how many jobs of each queue run, wait, ...
status     the status of an AgentQueue
requests   requests of jobs, their answers, and what they hold
admission  jobs admitted and refused, and the order in words
line       the jobs that wait in a queue, in order
partition  the waiting jobs of one partition, by session
limits     counts against the policy
starts     starts in a sliding window
messages   messages for waiting jobs
heaps      heaps with stale entries
"""
