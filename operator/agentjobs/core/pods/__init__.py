"""The pod of a start.

manifests      the pod, built from parts
container      the runner's container
prerequisites  objects that must exist before it
workspace      containers and volumes of a workspace
volume_claims  volumes that outlive pods
defaults       the installation's defaults for pods
policy         what an installation allows
pod            a pod as a value for decisions
stages         its AgentJobs containers, in order
diagnose       how a start ended, from the state of its pod
problems       refusals of a pod by the API server, as fields of the job
"""
