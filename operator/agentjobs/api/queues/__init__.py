"""AgentQueue.

spec        limits of the jobs of one queue
validation  all rules of a queue
status      the status, and its conditions
"""
