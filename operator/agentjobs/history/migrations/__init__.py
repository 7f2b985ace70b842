"""The schema's history, as Alembic revisions. Append only: old code must survive the schema after it.

Revisions run in one transaction, and their locks last to its end. So a revision builds no index of a table that exists:
nothing could write to that table in the meantime, about 30 seconds for a million jobs. `migrate` builds such an index
between two revisions, as it fills jobs between 0013 and 0014: with CREATE INDEX CONCURRENTLY, outside of a transaction,
after it has dropped the invalid index of an interrupted build. The next revision then has `op.create_index` with
`if_not_exists`, which builds the index in new databases.
"""
