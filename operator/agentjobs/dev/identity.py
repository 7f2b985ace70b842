"""Which cluster a development folder is: history asks for the uid of `kube-system`, and the embedded server forgets it.

Kept in the folder, it lets `agentjobs history` and `result` find after a restart what ran before. Called by `backends`
and `up`.
"""

import uuid
from pathlib import Path
from typing import Final

import psycopg

_FILE: Final = "cluster-uid"
# Rows of the time when each start was a cluster of its own.
_ADOPT: Final = "UPDATE agentjobs.jobs SET cluster = %s WHERE cluster <> %s"


def is_kept(folder: Path) -> bool:
    """Whether the API server of this folder has had an identity before."""
    return (folder / _FILE).exists()


def identity(folder: Path) -> str:
    """Return the uid of the folder's cluster, the same each time."""
    file = folder / _FILE
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_text(f"{uuid.uuid4()}\n")
    return file.read_text().strip()


def adopt(dsn: str, cluster: str) -> None:
    """Make all of a development database the history of this cluster."""
    with psycopg.connect(dsn) as connection:
        connection.execute(_ADOPT, (cluster, cluster))
