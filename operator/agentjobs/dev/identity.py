"""The identity of a development folder's cluster: the uid of `kube-system`, which the embedded server does not keep.

The folder keeps it, so that `agentjobs history` and `result` find earlier jobs after a restart.
"""

import uuid
from pathlib import Path
from typing import Final

import psycopg

_FILE: Final = "cluster-uid"
# For rows of versions in which each start had a new identity.
_ADOPT: Final = "UPDATE agentjobs.jobs SET cluster = %s WHERE cluster <> %s"


def is_kept(folder: Path) -> bool:
    """Return whether the folder already has an identity."""
    return (folder / _FILE).exists()


def identity(folder: Path) -> str:
    """Return the uid of the folder's cluster; it never changes."""
    file = folder / _FILE
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_text(f"{uuid.uuid4()}\n")
    return file.read_text().strip()


def adopt(dsn: str, cluster: str) -> None:
    """Assign all rows of a development database to this cluster."""
    with psycopg.connect(dsn) as connection:
        connection.execute(_ADOPT, (cluster, cluster))
