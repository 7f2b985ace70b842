"""The SQL of history is plain text: PostgreSQL accepts each statement, and the code uses each."""

import re
from importlib import resources
from pathlib import Path

import psycopg
import pytest

from agentjobs import history
from agentjobs.history.statements import load

MODULES = sorted(Path(path.name).stem for path in (resources.files(history) / "sql").iterdir())
STATEMENTS = [pytest.param(text, id=f"{module}-{name}") for module in MODULES for name, text in load(module).items()]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_postgresql_accepts_every_statement(database, statement):
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    text = re.sub(r"%\((\w+)\)s", lambda name: f"${names.index(name[1]) + 1}", statement)

    with psycopg.connect(database) as connection:
        connection.execute(f"PREPARE statement AS {text}")


@pytest.mark.parametrize("module", MODULES)
def test_every_statement_is_used(module):
    source = "".join(path.read_text("utf-8") for path in Path(history.__file__).parent.glob("*.py"))
    unused = [name for name in load(module) if f'"{name}"' not in source and not name.startswith("delete_")]

    assert unused == []
