"""Which version of the schema this code needs, and where a database says which it has.

Apart from `migrate`, so that asking costs no import of Alembic.
"""

from typing import Final

from sqlalchemy import Column, MetaData, String, Table

from agentjobs.history.tables import SCHEMA

HEAD: Final = "0004"
"""The newest migration. Versions are numbers of four digits, so that they compare as text."""

VERSION_TABLE: Final = "schema_version"

# Alembic makes and writes it; it belongs to no migration, hence to metadata of its own.
version = Table(VERSION_TABLE, MetaData(schema=SCHEMA), Column("version_num", String(32), primary_key=True))
