"""The pod of a start.

manifests      the pod, made from parts
container      its container, in which the runner runs
prerequisites  what must exist before it
defaults       what the installation says about every pod
policy         what an installation lets jobs ask for
pod            a pod as decisions see it
diagnose       how a start ended, from the facts about its pod
problems       what an API server says against a pod, in the words of the job
"""
