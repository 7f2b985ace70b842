"""AgentQueue.

counts      numbers of jobs in queues, and queues without an object
order       the level of a waiting job
spec        limits of the jobs of one queue
validation  all rules of a queue
status      the status, and its conditions
"""
