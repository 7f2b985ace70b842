"""Programs of the version before go on with the schema after it: during an upgrade, and after a rollback."""

import importlib
import pkgutil
from types import SimpleNamespace

import pytest

from agentjobs.history.migrations import versions

NAMES = [found.name for found in pkgutil.iter_modules(versions.__path__)]


class Steps:
    """Stands for Alembic's operations, and notes what a migration asks for. All that it has may be asked for."""

    def __init__(self):
        self.columns = []
        self.unique = []

    def create_table(self, name, *columns, **options):
        """What the version before does not know it does not touch."""

    def add_column(self, table, column, **options):
        self.columns.append(column)

    def execute(self, statement):
        """How a new table's column is stored."""
        assert "SET COMPRESSION" in statement

    def create_index(self, name, table, columns, *, unique=False, **options):
        self.unique += [name] * unique


@pytest.fixture
def carried_out(monkeypatch):
    def build(module):
        steps = Steps()
        monkeypatch.setattr(module, "op", steps)
        module.upgrade()
        return steps

    return build


@pytest.mark.parametrize("name", NAMES)
def test_a_migration_only_adds_what_rows_of_the_version_before_may_lack(carried_out, name):
    steps = carried_out(importlib.import_module(f"{versions.__name__}.{name}"))

    assert [column.name for column in steps.columns if not column.nullable and column.server_default is None] == []
    assert steps.unique == []


def test_a_migration_that_takes_away_is_noticed(carried_out):
    module = SimpleNamespace(op=None)
    module.upgrade = lambda: module.op.drop_column("jobs", "phase")

    with pytest.raises(AttributeError, match="drop_column"):
        carried_out(module)
