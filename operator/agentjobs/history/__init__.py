"""What PostgreSQL remembers of every job, long after the objects are gone.

    records           the values that go in: what was accepted, started, ended, deleted
    tables            the schema, as SQLAlchemy metadata
    migrate           brings a database to that schema (Alembic), also when two of us try at once
    database          connections with deadlines; the one place that turns database errors into ours
    operator_history  what the operator writes and asks
    writer            the operator's queue in front of it: never blocks, survives an outage
    gateway_history   what a runner may write through the gateway, behind the fence; what users read
    gateway_sql       what that asks PostgreSQL
    heads             what of a stored answer a status can show

Every write is idempotent and none depends on the order it comes in, because operators die, repeat and overlap.
"""
