"""A whole cluster on one machine, for development and tests: never the production path.

The package `devcluster` has the API server, the controllers, the process node and PostgreSQL. `up` adds the product's
processes, with `programs`, `crds`, `nodes`, `parts`, `accounts`; `backends` chooses the API server, `shared` uses an
existing cluster, and `identity` keeps the history usable after a restart. `session` is `agentjobs dev` with the banner
of `welcome`, `demo` is `agentjobs demo`, `authority` creates certificates. Only the command line and tests import the
package.
"""
