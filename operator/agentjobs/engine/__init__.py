"""Generic level-triggered machinery. It handles keys and versions, and does not depend on the domain.

kinds       a watched kind as one row, and the caches of all kinds
queueing    a work queue of keys
cache       the cache of one kind of object
controller  runs the workers of one queue
deadlines   a heap of objects by the time when they become due
clock       notices when the wall clock was set
background  tasks that live as long as their process
"""
