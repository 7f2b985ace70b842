"""Resources for every test: a real PostgreSQL, once a session, and databases of one's own in it."""

import itertools
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql
from sqlalchemy.engine import make_url

from agentjobs.dev.postgres import EmbeddedPostgres
from agentjobs.history import migrate

_TEMPLATE = "migrated"
_numbers = itertools.count(1)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres() -> AsyncIterator[EmbeddedPostgres]:
    """A running PostgreSQL with a migrated database to clone. Its data is gone afterwards."""
    async with EmbeddedPostgres(Path(tempfile.mkdtemp(prefix="agentjobs-test-")), ephemeral=True) as server:
        _execute(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
        migrate.upgrade(_dsn(server, _TEMPLATE))
        yield server


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """DSN of a database of the test's own without any tables."""
    yield from _database(postgres, "template0")


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """DSN of a migrated database of the test's own."""
    yield from _database(postgres, _TEMPLATE)


def _database(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    name = sql.Identifier(f"test_{next(_numbers)}")
    _execute(server, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(template)))
    yield _dsn(server, name.as_string().strip('"'))
    _execute(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def _execute(server: EmbeddedPostgres, statement: sql.Composed) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(statement)


def _dsn(server: EmbeddedPostgres, name: str) -> str:
    return make_url(server.dsn).set(database=name).render_as_string(hide_password=False)
