"""A whole cluster on one machine, for development and tests: never the production path.

`apiserver`, `node` and `controllers` are a small Kubernetes and know nothing of AgentJobs; the last two are ordinary
API clients and serve a real kube-apiserver as well. `postgres`, `envtest`, `client` and `process` are what they stand
on. `up` joins all of it with the real operator and gateway, by `crds`, `nodes`, `parts` and `accounts`. Only the
command line and tests import it.
"""
