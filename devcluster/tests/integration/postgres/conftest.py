"""Folders for PostgreSQL."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from devcluster.postgres import EmbeddedPostgres


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that `nobody` can reach, unlike pytest's own when root runs it."""
    yield from _folder()


@pytest.fixture(scope="module")
def server_folder() -> Iterator[Path]:
    """A folder that the tests of a module share, because initdb takes longer than they do."""
    yield from _folder()


@pytest_asyncio.fixture
async def postgres(server_folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    async with EmbeddedPostgres(server_folder) as running:
        yield running


def _folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="devcluster-test-"))
    yield path
    shutil.rmtree(path)
