"""One schedule's loop.

reconciler  observe, decide, apply, for one key
"""
