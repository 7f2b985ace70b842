"""History in PostgreSQL: jobs, starts, transitions, events and results, also after the objects are deleted.

    records          the values that are written
    protocols        the protocols of history, by audience: operator, runners, people
    model_protocols  those about model calls and their limits
    memory           an implementation in memory, for tests
    memory_rows      its rows
    memory_operator, memory_runner, memory_reads  what it does for each audience
    tables           the schema as SQLAlchemy metadata, for migrations alone
    migrate          upgrades a database to that schema with Alembic; safe to run twice at once
    schema           the version of the schema that this code needs
    database         connections with deadlines; the only place that translates database errors
    breaker          whether PostgreSQL answers, once for the whole process
    statements       loads the SQL from `sql/`, which has a file for each module that queries
    sanitize         makes text and JSON of any origin storable
    batcher          joins concurrent queries into one
    fence            lets only the pod that claimed a start write
    steps            the rules of the journal, without I/O
    model_records    what the proxies tell of model calls and ask of limits
    model_calls      the ledger of model calls
    model_reports    what people read of model calls, their costs and the limits of keys
    memory_model_calls  the same in memory, for tests
    spending         what a job used so far, by its steps and by its model calls
    model_limits     limits of providers' keys that the proxies share
    memory_model_limits  the same in memory, for tests
    queue_models     limits of queues on model calls, and what these cost by queue
    memory_queue_models  the same in memory, for tests
    outbox_records   what a notifier takes and gives back
    outbox_rows      what a transition tells its sinks, bounded
    outbox           notifications, for notifiers and for people
    memory_outbox    the same in memory, for tests
    action_records   what people did, as it is stored
    actions          such actions, written and read
    memory_actions   the same in memory, for tests
    change_records   what has changed of jobs, as values
    changes          asks for it: one question for all who look at pages
    memory_changes   the same in memory, for tests
    journal          reads and records steps
    ownership        decides who owns a start, without I/O
    operator_writes  writes and queries of the operator
    operator_rows    what it writes, as rows
    slots            slots of queues, claimed with the start that needs one
    memory_slots     the same in memory, for tests
    twins            which of several equal jobs runs, without I/O
    unique_keys      the keys of such jobs, asked in the transaction that accepts one
    writer           the operator's queue of writes: never blocks, survives an outage
    runner_writes    writes of runners through the gateway, behind the fence
    entries          timeline entries as they are stored, and their usage
    reads            queries of people
    listing          the statements that find a page of jobs by a filter
    memory_filter    whether a job has what a filter asks for, for tests
    labels           which labels of a job are kept
    words            by which words a job is found
    pages            cursors of long lists
    slices           time in slices of round lengths, without I/O
    overview_protocols  the protocols of numbers, processes, changes and actions
    overview         what many jobs do and use, in numbers
    process_records  what a process tells of itself
    processes        which processes live, and the database they share
    memory_overview  both in memory, for tests
    retention        deletes the history of jobs that ended long ago
    scopes           to whom sessions, state and artifacts belong: an app, its user, a session
    turns            the rules of what a job adds to its session
    sessions         sessions of runners: what was before, the turn, memory
    versions         versions of artifacts as values
    artifacts        artifacts of runners
    memory_sessions  sessions and artifacts in memory, for tests
    kept             the rules of files that starts keep for later ones, without I/O
    kept_files       such files
    memory_kept_files  the same in memory, for tests
    session_reads    queries and deletions of people
    session_removal  removes a session, or what belongs to a user, in batches
    session_retention  deletes sessions that were not used for long

Every write is idempotent and independent of the order of writes, because operators die, repeat and overlap.
"""
