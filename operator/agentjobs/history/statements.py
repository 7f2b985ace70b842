"""Loads the SQL of this package: one file for each module, one name for each statement.

Statements in `sql/` are plain text between `-- name:` lines, with parameters as `%(name)s`.
"""

import re
from collections.abc import Mapping
from importlib import resources
from typing import Final

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT: Final = re.compile(r"^ *--.*\n", re.MULTILINE)


def load(module: str) -> Mapping[str, str]:
    """Return the statements of `sql/<module>.sql` by name, without comments."""
    text = (resources.files(__package__) / "sql" / f"{module}.sql").read_text("utf-8")
    _, *parts = _NAME.split(text)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {name: _COMMENT.sub("", body).strip().removesuffix(";") for name, body in pairs}
