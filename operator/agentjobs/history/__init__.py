"""History in PostgreSQL: jobs, starts, transitions, events and results, also after the objects are deleted.

    records          the values that the operator writes
    protocols        the protocols of history, by audience: operator, runners, people
    model_protocols  protocols about model calls and their limits
    memory           an implementation in memory, for tests
    memory_rows      its rows
    memory_operator, memory_runner, memory_reads  its methods for each audience
    tables           the schema as SQLAlchemy metadata, for migrations only
    migrate          upgrades a database to that schema with Alembic; safe to run concurrently
    fill             fills new columns of old jobs, for migrate
    schema           the version of the schema that this code needs
    database         connections with deadlines; the only place that translates database errors
    breaker          a circuit breaker for PostgreSQL, one per process
    statements       loads the SQL from `sql/`, which has a file for each module
    sanitize         makes any text and JSON storable
    batcher          joins concurrent queries into one
    fence            lets only the pod that claimed a start write
    steps            the rules of the journal, without I/O
    model_records    values of model calls and limits
    model_calls      the ledger of model calls
    model_reports    model calls, their costs and limits, for people
    memory_model_calls  the same in memory, for tests
    spending         usage of a job, by its steps and by its model calls
    model_limits     limits of providers' keys that the proxies share
    memory_model_limits  the same in memory, for tests
    queue_models     limits of queues on model calls, and costs by queue
    memory_queue_models  the same in memory, for tests
    outbox_records   values that a notifier takes and returns
    outbox_rows      contents of notifications, bounded
    outbox           notifications, for notifiers and for people
    memory_outbox    the same in memory, for tests
    action_records   actions of people, as stored
    actions          writes and reads such actions
    memory_actions   the same in memory, for tests
    change_records   changes of jobs, as values
    changes          reads changes, with one query for all open pages
    memory_changes   the same in memory, for tests
    journal          reads and records steps
    ownership        decides who owns a start, without I/O
    operator_writes  writes and queries of the operator
    operator_rows    rows of the operator's writes
    slots            slots of queues, claimed with the start that needs one
    memory_slots     the same in memory, for tests
    equal_jobs       which of several equal jobs runs, without I/O
    unique_keys      the keys of such jobs, checked in the transaction that accepts one
    writer           the operator's queue of writes: never blocks, survives an outage
    runner_writes    writes of runners through the gateway, behind the fence
    entries          timeline entries as they are stored, and their usage
    reads            queries for people
    listing          the statements that find a page of jobs by a filter
    memory_filter    whether a job matches a filter, for tests
    labels           which labels of a job are kept
    words            words for full-text search of jobs
    pages            cursors of long lists
    slices           time in slices of round lengths, without I/O
    overview_protocols  the protocols of numbers, processes, changes and actions
    overview         activity and usage of many jobs, in numbers
    process_records  a process's report about itself
    processes        live processes, and their database
    memory_overview  both in memory, for tests
    retention        deletes the history of jobs that ended long ago
    scopes           owners of sessions, state and artifacts: an app, its user, a session
    turns            the rules of a job's turn of a session
    sessions         sessions for runners: earlier turns, the job's turn, memory
    versions         versions of artifacts as values
    artifacts        artifacts of runners
    memory_sessions  sessions and artifacts in memory, for tests
    kept             the rules of files that starts keep for later ones, without I/O
    kept_files       such files
    memory_kept_files  the same in memory, for tests
    session_reads    queries and deletions of sessions, for people
    session_removal  removes sessions and users' data in batches
    session_retention  deletes sessions that have not been used for long

Every write is idempotent and independent of the order of writes, because operators crash, retry and overlap.
"""
