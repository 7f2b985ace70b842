"""One schedule's loop.

reconciler  observe, decide, apply, for one key
reporter    log lines and Events about actions
"""
