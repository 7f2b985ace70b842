"""Alembic runs this for every command. `migrate` hands the connection over; there is no alembic.ini."""

from alembic import context

from agentjobs.history.schema import SCHEMA, VERSION_TABLE
from agentjobs.history.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    version_table_schema=SCHEMA,
    include_schemas=True,
    # The caller's transaction holds the lock as well; it commits both.
    transactional_ddl=True,
)
context.run_migrations()
