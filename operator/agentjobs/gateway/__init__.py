"""The gateway: the HTTP server for runner pods and users.

    app                the application, made from its routes
    document           its OpenAPI document
    field_docs         descriptions of fields in that document
    services           what routes need, created once
    access_log         middleware that measures and logs each request
    metrics            metrics for Prometheus
    runner_api         routes of runners: claim, events, heartbeat, result
    session_api        routes of runners: session, artifacts, memory
    kept_api           routes of runners: files for later starts
    paths              the paths of routes of users, and parameters that many of them have
    parameters         refuses unknown query parameters
    rights             what the caller may do, and in which namespaces
    me_api             routes of users: their identity
    changes_api        routes of users: streams of changes of jobs
    changes            which stream gets which changes, and when
    change_feed        reads changes from history for all streams
    acting             runs operations of the Python client as the caller
    actions_api        routes of users: actions on objects with their own rights, and the log of actions
    action_bodies      request bodies of actions
    audit              records actions of users
    named_jobs         finds the job that a name or a uid refers to
    queue_counts       numbers of jobs in queues, counted in history
    cluster_api        routes of users: objects, Events and logs, read from the API server with their own rights
    cluster_objects    objects of the API server as users see them
    kubernetes_events  Events as users see them
    history_api        routes of users: history, read with their own rights
    job_filters        the parameters of lists of jobs
    user_session_api   routes of users: sessions and artifacts, read and deleted with their own rights
    models_api         routes of users: models, limits and usage, read with their own rights
    overview_api       routes of users: statistics of jobs, and the installation
    notifications_api  routes of users: notifications, read and tried again with their own rights
    triggers_api       calls that create jobs from templates, with a token or a signature
    triggers           signed calls and the jobs they create
    model_overview     models as users see them
    shared_reads       one query for all requests that need the same answer
    connections        limits on the number and the duration of connections
    limits             limits on requests in progress, by job, by pod and for all
    user_limits        limits on the requests of each user
    bodies             reads and checks request bodies
    session_bodies     request bodies of runners about their session
    json_text          checks JSON text before it is parsed
    problems           error responses
    hosting            connections and web server for each process that serves REST
    serve              the process

It is stateless: everything is in PostgreSQL or in the API server, so any number of replicas may run.
"""
