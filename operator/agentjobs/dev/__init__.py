"""A whole cluster on one machine, for development and tests: never the production path.

The package `devcluster` has the API server, the controllers, the process node and PostgreSQL. `up` joins them with the
real processes, by `programs`, `crds`, `nodes`, `parts`, `accounts`; `backends` chooses the API server, `shared` works
on a cluster that others use, and `identity` lets the history survive a restart. `session` is `agentjobs dev` with the
banner of `welcome`, `demo` is `agentjobs demo`, `authority` makes certificates. Only the command line and tests import
the package.
"""
