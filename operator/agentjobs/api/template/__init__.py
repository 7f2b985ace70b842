"""AgentTemplate.

spec       parameters, locked fields; the rest is a job's spec
status     whether it is legal
"""
