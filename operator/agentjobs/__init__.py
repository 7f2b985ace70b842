"""AgentJobs: durable background jobs for AI agents on Kubernetes.

This package is the control side: operator, gateway, model proxy, notifier, dashboard and command line. The code inside
a job's pod is `agentjobs_runner`; both share only `agentjobs.contract`.

The packages:

    api               the models of our kinds, and of history
    core              decisions, as pure functions
    reconcile         the operator's loops
    engine            queue, caches and watches under them
    kube              access to the Kubernetes API
    history           PostgreSQL
    models            names, prices and budgets of models
    gateway           the HTTP server for runners and users
    proxy             the model proxy
    notifier          sends notifications
    dashboard         pages for people
    client            the Python client
    cli               the command line
    rbac              the rights of each process
    dev               a cluster on one machine, for development

The modules:

    operator_process  the operator's process
    settings          the settings of an installation, from the environment
    contract          names, endpoints and documents that the parts share
    errors            the tree of errors
    problem           a refusal by one of our servers
    auth              who a caller is, and what they may do
    tokens            bearer tokens as text
    ca_bundle         the CA certificates that runner pods trust
    listening         sockets and certificates of our servers
    capacity          limits on work in progress
    readiness         whether a server has what it depends on
    probes            probes and metrics of operator and notifier
    metrics           the operator's metrics, and those of every process
    logs              log lines
    readable          log lines as text for people
    tracing           traces
    kopf_adapter      kopf, reduced to login and watches
    api_resource      a resource of the Kubernetes API, as a value
    refused_value     an invalid value, apart from what is wrong with it
    durations         durations and instants as text
    amounts           amounts of money as text
    bounded           a cache of bounded size
"""

__version__ = "0.1.0"
