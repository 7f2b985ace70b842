"""Resources for every test: a real PostgreSQL, once a session, and databases of one's own in it.

And the option that says which API server the integration tests run on.
"""

import gc
import itertools
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings
from psycopg import sql
from sqlalchemy.engine import make_url

from agentjobs.dev.shared import named_access
from agentjobs.errors import Misconfigured
from agentjobs.history import migrate
from agentjobs.history.schema import SCHEMA
from devcluster.envtest import ASSETS
from devcluster.postgres import EmbeddedPostgres

# What is drawn at random is drawn in full by `make properties`. No deadlines: other work of the machine is no finding.
for _profile, _examples in {"short": 30, "full": int(os.environ.get("EXAMPLES", "200"))}.items():
    settings.register_profile(
        _profile, max_examples=_examples, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
settings.load_profile("short")

_TEMPLATE = "migrated"
_DISCONNECT = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE datname = {}"
_numbers = itertools.count(1)
# The others' rows go with these.
_EMPTIED = (
    *("jobs", "artifact_chunks", "artifacts", "states", "turns", "scopes"),
    *("proxies", "model_usage", "limit_slices", "limit_running", "closed_keys", "exhausted_models"),
    *("queue_usage", "queue_spend", "queue_limits", "queue_starts", "processes", "actions"),
)
_free: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--apiserver",
        choices=("embedded", "envtest", "kubeconfig"),
        default="embedded",
        help="API server of the integration tests: ours, the real one and etcd in the folder KUBEBUILDER_ASSETS, or "
        "that of the cluster KUBECONFIG names, in namespaces and on nodes of the tests' own.",
    )


def pytest_configure(config: pytest.Config) -> None:
    chosen = config.getoption("--apiserver")
    if chosen == "envtest" and not os.environ.get(ASSETS):
        raise pytest.UsageError(f"--apiserver=envtest needs {ASSETS}, the folder of kube-apiserver and etcd")
    if chosen == "kubeconfig":
        try:
            named_access(os.environ)
        except Misconfigured as error:
            raise pytest.UsageError(str(error)) from error
    config.addinivalue_line("markers", "stops_the_server: the test stops its API server, so it gets one of its own")
    config.addinivalue_line("markers", "alone(why): the test cannot run on a cluster that serves others, too")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keep the garbage collector from modules and tests, which stay: to look through them takes it half a second."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(tryfirst=True)  # before `-m alone` chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("stops_the_server"):
            item.add_marker(pytest.mark.alone("a cluster of others is not stopped for a test"))
        alone = item.get_closest_marker("alone")
        if alone and config.getoption("--apiserver") == "kubeconfig":
            item.add_marker(pytest.mark.skip(reason=alone.args[0]))


def pytest_report_header(config: pytest.Config) -> str:
    return _which_server(config)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.get_verbosity() < 0:  # no header then
        terminalreporter.write_line(_which_server(config))


def _which_server(config: pytest.Config) -> str:
    chosen = config.getoption("--apiserver")
    if chosen == "kubeconfig":
        return f"API server: {named_access(os.environ).server}, context {named_access(os.environ).context}"
    if chosen == "envtest":
        return f"API server: kube-apiserver and etcd of {os.environ[ASSETS]}"
    judges = (
        f"the real one of {os.environ[ASSETS]} judges beside it" if os.environ.get(ASSETS) else f"{ASSETS} is unset"
    )
    return f"API server: embedded ({judges})"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres() -> AsyncIterator[EmbeddedPostgres]:
    """A running PostgreSQL with a migrated database to clone. Its data is gone afterwards."""
    async with EmbeddedPostgres(
        Path(tempfile.mkdtemp(prefix="agentjobs-test-")), ephemeral=True, user="agentjobs"
    ) as server:
        _execute(server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
        migrate.upgrade(_dsn(server, _TEMPLATE))
        yield server


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """DSN of a database of the test's own without any tables."""
    name = _create(postgres, template="template0")
    yield _dsn(postgres, name)
    _execute(postgres, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """DSN of a migrated, empty database of the test's own. Rows it leaves are removed; tables it must not alter."""
    name = _free.pop() if _free else _create(postgres, template=_TEMPLATE)
    yield _dsn(postgres, name)
    # Emptying takes a millisecond; a clone copies three hundred files.
    _execute(postgres, sql.SQL(_DISCONNECT).format(sql.Literal(name)))
    with psycopg.connect(_dsn(postgres, name)) as connection:
        for table in _EMPTIED:
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(SCHEMA, table)))
    _free.append(name)


def _create(server: EmbeddedPostgres, *, template: str) -> str:
    name = f"test_{next(_numbers)}"
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    _execute(server, statement.format(sql.Identifier(name), sql.Identifier(template)))
    return name


def _execute(server: EmbeddedPostgres, statement: sql.Composed) -> None:
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(statement)


def _dsn(server: EmbeddedPostgres, name: str) -> str:
    return make_url(server.dsn).set(database=name).render_as_string(hide_password=False)
