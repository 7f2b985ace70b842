"""The notifier: sends notifications about jobs to the installation's sinks. A separate process with any number of
replicas.

    sinks_file   the sinks file: format and rules
    sinks        the current sinks and their secrets, which are read when needed
    messages     a notification as a CloudEvent or a Slack message, and its signature
    sending      one request, and the meaning of its response
    backoff      retries of notifications and sinks; pure
    notifier     claims due notifications, sends them, records the result
    metrics      Prometheus metrics
    serve        the process

It connects to the sinks and PostgreSQL. Addresses, keys and headers of sinks never appear in logs, errors or rows.
"""
