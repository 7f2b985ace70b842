"""Programs of the previous version work with the next schema: during an upgrade, and after a rollback."""

import importlib
import pkgutil
import re
from types import SimpleNamespace

import pytest

from agentjobs.history.migrations import versions

NAMES = [found.name for found in pkgutil.iter_modules(versions.__path__)]


class Steps:
    """Stands for Alembic's operations, and notes what a migration asks for. All that it has may be asked for."""

    def __init__(self):
        self.columns = []
        self.unique = []
        self.dropped = set()

    def create_table(self, name, *columns, **options):
        """What the version before does not know it does not touch."""

    def add_column(self, table, column, **options):
        self.columns.append(column)

    def execute(self, statement):
        """How a new table's column is stored, what rows have in new columns, and what a trigger sets."""
        text = " ".join(statement.split())
        if text.startswith("UPDATE"):
            assert set(re.findall(r"SET (\w+) =", text)) <= {column.name for column in self.columns}
        else:
            ours = ("ANALYZE", "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", "CREATE TRIGGER")
            assert "SET COMPRESSION" in text or "SET (fillfactor" in text or text.startswith(ours)

    def drop_index(self, name, **options):
        """One that is made again, with more columns."""
        self.dropped.add(name)

    def create_index(self, name, table, columns, *, unique=False, **options):
        self.unique += [name] * unique
        self.dropped.discard(name)


@pytest.fixture
def carried_out(monkeypatch):
    def build(module):
        steps = Steps()
        monkeypatch.setattr(module, "op", steps)
        module.upgrade()
        return steps

    return build


@pytest.mark.parametrize("name", NAMES)
def test_a_migration_only_adds_what_rows_of_the_previous_version_can_lack(carried_out, name):
    steps = carried_out(importlib.import_module(f"{versions.__name__}.{name}"))

    assert [column.name for column in steps.columns if not column.nullable and column.server_default is None] == []
    assert steps.unique == []
    assert steps.dropped == set()


def test_a_migration_that_removes_something_is_found(carried_out):
    module = SimpleNamespace(op=None)
    module.upgrade = lambda: module.op.drop_column("jobs", "phase")

    with pytest.raises(AttributeError, match="drop_column"):
        carried_out(module)
