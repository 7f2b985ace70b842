"""Which version of the schema this code needs, and where a database says which it has.

Apart from `migrate`, so that asking costs no import of Alembic and SQLAlchemy.
"""

from typing import Final

SCHEMA: Final = "agentjobs"
"""All tables lie in this schema, so that a database may be shared. The statements in `sql/` name it."""

HEAD: Final = "0013"
"""The newest migration. Versions are numbers of four digits, so that they compare as text."""

VERSION_TABLE: Final = "schema_version"
"""Alembic makes and writes it."""

VERSION: Final = "SELECT version_num FROM agentjobs.schema_version"
