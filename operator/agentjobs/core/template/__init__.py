"""AgentTemplates. Pure.

model       an AgentTemplate as a value, with its problems
"""
