"""AgentQueues.

policies  what each queue allows at this moment
"""
