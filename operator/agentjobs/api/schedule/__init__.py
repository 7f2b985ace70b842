"""The kind AgentSchedule.

spec        the spec as pydantic models, with every default
status      the status, and its conditions
validation  all rules of a schedule
cron        the times of a cron expression
"""
