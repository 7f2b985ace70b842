"""AgentTemplates: validates each.

reconciler  writes the condition Valid
"""
