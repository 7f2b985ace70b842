"""AgentQueue.

counts      numbers of jobs in queues, and queues without an object
spec        limits of the jobs of one queue
validation  all rules of a queue
status      the status, and its conditions
"""
