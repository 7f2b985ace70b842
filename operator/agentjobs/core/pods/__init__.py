"""The pod of a start.

manifests  the pod, and the network policy of a job
pod        a pod as decisions see it
diagnose   how a start ended, from the facts about its pod
policy     what an installation lets jobs ask for
problems   what an API server says against a pod, in the words of the job
"""
