"""AgentTemplates: says of each whether it is legal.

reconciler  writes the condition Valid
"""
