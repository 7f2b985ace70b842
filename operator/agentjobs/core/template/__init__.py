"""AgentTemplates: what the operator keeps of one. Pure.

model       an AgentTemplate as a value, with what is wrong with it
"""
