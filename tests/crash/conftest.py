"""One gateway and one forking parent for all runs of this folder; the option for every kill point, and the table."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy.engine import make_url
from tests.crash.outside import PRELOADED, World, world
from tests.crash.topologies import TOPOLOGIES

from agentjobs_runner.import_trim import UNUSED
from devcluster.forkserver import SUPPORTED, ForkServer
from devcluster.postgres import EmbeddedPostgres

OPTION = "--every-point"
COLUMNS = ("points", "repeated", "lost", "different")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, action="store_true", help="Kill every shape of agents at every effect, not at a few.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "topology" in metafunc.fixturenames:
        every = metafunc.config.getoption(OPTION, default=False)
        chosen = [topology for topology in TOPOLOGIES if every or topology.short]
        metafunc.parametrize("topology", chosen, ids=lambda topology: topology.name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show one row for each shape of agents that was killed."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, ())]
    found = [dict(one.user_properties)["crash"] for one in reports if "crash" in dict(one.user_properties)]
    if not found:
        return
    order = {topology.name: place for place, topology in enumerate(TOPOLOGIES)}
    rows = sorted(found, key=lambda row: order[row[0]])
    rows.append(["sum", *(sum(row[place] for row in rows) for place in range(1, len(COLUMNS) + 1))])
    terminalreporter.write_line(f"{'killed':<26}" + "".join(f"{name:>11}" for name in COLUMNS))
    for name, *counts in rows:
        terminalreporter.write_line(f"{name:<26}" + "".join(f"{count:>11}" for count in counts))


@pytest.fixture
def every_point(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption(OPTION, default=False))


@pytest.fixture(scope="session")
def crash_forks() -> Iterator[ForkServer | None]:
    """Starts runners from a process that has imported what teams need."""
    if not SUPPORTED:
        yield None
        return
    server = ForkServer("agentjobs_runner", preload=PRELOADED, without=UNUSED)
    yield server
    server.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def crash_world(postgres: EmbeddedPostgres, crash_forks: ForkServer | None) -> AsyncIterator[World]:
    """Where jobs run. All of them share one database: jobs have uids of their own."""
    dsn = make_url(postgres.dsn).set(database="migrated").render_as_string(hide_password=False)
    async with world(dsn, crash_forks, Path(tempfile.mkdtemp(prefix="agentjobs-crash-"))) as running:
        yield running
