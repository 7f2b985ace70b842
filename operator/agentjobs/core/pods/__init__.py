"""The pod of a start.

manifests      the pod, made from parts
container      the runner's container
prerequisites  objects that must exist before it
workspace      containers and volumes of a workspace
claims         volumes that outlive pods
defaults       what the installation says about every pod
policy         what an installation allows jobs
pod            a pod as decisions see it
stages         its containers of ours, one after the other
diagnose       how a start ended, from the facts about its pod
problems       refusals of a pod by the API server, in fields of the job
"""
