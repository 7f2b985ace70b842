"""The notifier: tells the sinks of an installation what happened to jobs. A process of its own, any number at once.

    sinks_file   the file of sinks: its form and rules
    sinks        the sinks that there are now, and their secrets, which are read when they are needed
    messages     a notification as CloudEvents and as Slack take it, and its signature
    sending      one request, and what its answer means
    patience     when a sink or a notification is tried again, pure
    notifier     takes what is due, sends it, marks it
    metrics      Prometheus metrics
    serve        the process

It reaches the sinks and PostgreSQL. Addresses, keys and headers of sinks are in no log, no error and no row.
"""
