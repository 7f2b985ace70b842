"""The gateway: what runner pods and users speak HTTP with.

    app.py          puts the routes together
    services.py     what routes need, made once
    traffic.py      what every request meets first: measured, logged
    health.py       whether the gateway can do its work now
    metrics.py      what Prometheus reads
    runner_api.py   a runner's attempt: claim, events, heartbeat, result
    history_api.py  what users read, as themselves
    auth.py         whose token this is and what it may
    connections.py  how long a client may take, and how many it may be
    limits.py       how much a job, a pod and all of them may have under way
    bodies.py       what a body must look like
    json_text.py    what JSON text must be like before it is read
    problems.py     how a refusal is said
    serve.py        the process

Stateless: every fact is in Postgres or in the API server, so any number of replicas may serve.
"""
