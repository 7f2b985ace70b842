"""The gateway: the HTTP server for runner pods and users.

    app          the application, made from its routes
    document     its OpenAPI document
    services     what routes need, made once
    traffic      middleware that measures and logs each request
    metrics      metrics for Prometheus
    runner_api   routes of runners: claim, events, heartbeat, result
    session_api  routes of runners: session, artifacts, memory
    kept_api     routes of runners: files for later starts
    paths        where routes of users are, and the parameters of many
    rights       what who asks may do, and where
    me_api       routes of users: who they are
    changes_api  routes of users: streams that say when jobs change
    changes      who is told of which changes, and when
    change_feed  asks history what has changed, for all who listen
    acting       runs operations of the Python client as who calls
    actions_api  routes of users: what they do to objects with their own rights, and what others did
    action_bodies  reads and checks what users send with actions
    audit        keeps who did what
    named_jobs   which job is meant by a name or a uid
    queue_counts  how many jobs are in queues, by history
    cluster_api  routes of users: objects, Events and logs, read of the API server with their own rights
    seen         objects as people are shown them
    kubernetes_events  Events as people are shown them
    history_api  routes of users: history, read with their own rights
    job_filters  the parameters of lists of jobs
    user_session_api  routes of users: sessions and artifacts, read and deleted with their own rights
    models_api   routes of users: models, limits and usage, read with their own rights
    overview_api routes of users: numbers of many jobs, and the installation
    notifications_api  routes of users: what sinks were told, read and tried again with their own rights
    triggers_api  calls that make jobs of templates, with a token or a signature
    triggers     what signed calls may say, and the job of each
    model_overview  what users are told of models
    shared_reads  one question to history for all who ask it at once
    connections  limits to the number and the duration of connections
    limits       limits to the requests under way, by job, by pod and for all
    user_limits  limits to what users ask, each for themselves
    bodies       reads and checks request bodies
    session_bodies  reads and checks what a runner sends of its session
    json_text    checks JSON text before it is parsed
    problems     error responses
    hosting      connections and web server, for every process that serves REST
    serve        the process

Stateless: every fact is in Postgres or in the API server, so any number of replicas may serve.
"""
