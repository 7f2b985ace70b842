"""A small Kubernetes on one machine, for development and tests: never the production path.

`apiserver`, `node` and `controllers` are the cluster; the last two are ordinary API clients and serve a real
kube-apiserver as well, which `envtest` starts. `postgres` runs an embedded PostgreSQL. All of them use `client`
(requests to an API server), `certificates`, `events` (Kubernetes Events), `files` (private ones, kubeconfigs),
`timestamps`, `ports`, `process` (children that end with their parent), `guard` (the process that ends them when the
parent was killed) and `forkserver` with `zygote` (forks of a process that has imported a program's modules).
"""
