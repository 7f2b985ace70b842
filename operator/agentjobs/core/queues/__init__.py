"""Which waiting jobs of a queue start now.

admission  jobs admitted and refused, and when to look again
model      an AgentQueue as a value
line       the jobs that wait in a queue, in order
"""
