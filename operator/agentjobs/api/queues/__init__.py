"""AgentQueue.

spec        limits of the jobs of one queue
validation  every rule that a queue must keep
status      what the operator says of it
"""
