"""Which waiting jobs of a queue start now.

model      an AgentQueue as a value
policy     what a queue allows
requests   what jobs ask, hold and are told
admission  jobs admitted and refused, and when to look again
line       the jobs that wait in a queue, in order
"""
