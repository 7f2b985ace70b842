"""The schema's history, as Alembic revisions. Append only: old code must survive the schema after it."""
