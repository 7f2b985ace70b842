"""Which waiting jobs of a queue start now.

model      an AgentQueue as a value
policy     what a queue allows
budgets    periods of the calendar, and what is left in them
tally      how many jobs of each queue run, wait, ...
status     what an AgentQueue's status says
requests   what jobs ask, hold and are told
admission  jobs admitted and refused, and when to look again; the order in words
line       the jobs that wait in a queue, in order
partition  those of one partition, by session
limits     what is counted against the policy
starts     starts in a sliding window
sentences  what waiting jobs are told
heaps      heaps with stale entries
"""
