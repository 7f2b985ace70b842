"""The schema version that this code needs, and how to read a database's version.

Separate from `migrate`, so that checking does not import Alembic and SQLAlchemy.
"""

from typing import Final

SCHEMA: Final = "agentjobs"
"""All tables are in this schema, so that a database may be shared. The statements in `sql/` refer to it."""

HEAD: Final = "0015"
"""The newest migration. Versions are numbers of four digits, so that they compare as text."""

VERSION_TABLE: Final = "schema_version"
"""The table that Alembic creates and writes."""

VERSION: Final = "SELECT version_num FROM agentjobs.schema_version"
