"""AgentQueue.

spec       limits of the jobs of one queue
status     what the operator says of it
"""
