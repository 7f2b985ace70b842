"""The model proxy: the only process with providers' keys, and the only one that connects to providers.

    serve         the process
    connections   limits on the number and duration of connections
    server        checks of every request; probes and metrics
    client        the client of one request: reads its body, sends its answer
    exchange      one request, from authentication to settlement
    routing       the possible ways to make a call, and its maximum cost
    checker       calls the installation's own checker
    sending       makes a call: turn, request, answer; tries other ways
    calls         one running call, and how it is booked
    settlements   writes ended calls to the database
    upstream      connections to providers
    limits        gives calls their turns within the limits of keys
    line          the line of waiting calls of one model
    queue_limits  the limits that queues set for calls, in addition to those of keys
    turns         a turn: the request for it, and what it takes from each limit
    closures      the known closed keys
    returns       returns unused amounts to the limits
    keys          providers' keys, from files that may change
    credentials   access tokens of Vertex AI
    installation  the models and rules of the installation, from a file that may change
    refusals      the proxy's error responses
    metrics       metrics for Prometheus

Stateless: limits, budgets and the ledger are in PostgreSQL, so that any number of replicas may run.
"""
