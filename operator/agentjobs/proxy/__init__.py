"""The model proxy: the only process that holds keys of providers, and the only one that reaches them.

    serve        the process
    connections  limits to the number and the duration of connections
    server       what every request meets first; probes and metrics
    client       the client of one request: its body, its answer
    exchange     one request, from who asks to its settlement
    routing      which ways there are to make a call, and what it may cost
    checker      asks the installation's own checker
    sending      makes a call: turn, request, answer; tries other ways
    calls        one call while it is made, and what it is booked as
    settlements  ended calls on their way into the database
    upstream     connections to providers
    limits       gives calls their turns at the limits of keys
    line         where calls of one model wait for their turns
    queue_limits what queues allow their calls, beside the limits of keys
    turns        a turn: what is asked for, and what it takes of each limit
    closures     which keys are known to be closed
    returns      sends what calls give back of the limits
    keys         keys of providers, from files that may change
    credentials  access tokens of Vertex AI
    installation what the installation allows, from a file that may change
    refusals     what is refused, and in which words
    metrics      metrics for Prometheus

Stateless: limits, budgets and the record of calls are in Postgres, so any number of replicas may serve.
"""
