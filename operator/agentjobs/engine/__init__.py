"""Generic level-triggered machinery. It knows keys and versions, and nothing of the domain.

kinds       what a kind of object is to the machinery, and what is known of all kinds
queueing    a work queue of keys
cache       what is known of one kind of object
controller  runs the workers of one queue
deadlines   objects that become due at a time
clock       tells when the wall clock was set
background  tasks that live as long as their process
"""
