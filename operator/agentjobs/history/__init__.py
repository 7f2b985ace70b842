"""What PostgreSQL remembers of every job, long after the objects are gone.

    records           the values that go in: what was accepted, started, ended, deleted
    protocols         what each audience asks of history: operator, runners, people
    memory            all of it in memory, for tests
    tables            the schema, as SQLAlchemy metadata: for migrations alone
    migrate           brings a database to that schema (Alembic), also when two of us try at once
    schema            which version of that schema this code needs
    database          connections with deadlines; the one place that turns database errors into ours
    breaker           whether PostgreSQL answers, known once for the whole process
    statements        reads the SQL, which stands in `sql/`: one file for each module that asks PostgreSQL
    sanitize          makes text and JSON of any origin storable
    batcher           joins questions asked at the same time into one query
    fence             of all pods of a job that may still live, one writes
    ownership         whose a start is, apart from where the rows are
    operator_writes   what the operator writes and asks
    writer            the operator's queue in front of it: never blocks, survives an outage
    runner_writes     what a runner may write through the gateway, behind the fence
    entries           entries of a timeline as they are stored, and what they used
    reads             what people read
    pages             long lists, page by page
    retention         prunes what ended long ago

Every write is idempotent and none depends on the order it comes in, because operators die, repeat and overlap.
"""
