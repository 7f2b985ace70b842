"""One schedule's loop.

reconciler  observe, decide, apply, for one key
story       log lines and Events about actions
"""
