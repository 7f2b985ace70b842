"""The kind AgentSchedule.

spec        the spec as pydantic models, with every default
status      the status, and its conditions
validation  every rule that a schedule must keep
cron        the times of a cron expression
"""
