"""Certificates for a server on the loopback interface, signed by a new CA."""

import datetime
from dataclasses import dataclass
from pathlib import Path

from devcluster.certificates import Authority


@dataclass(frozen=True, slots=True)
class Certified:
    """Paths of PEM files."""

    authority: Path
    certificate: Path
    key: Path


def certified(folder: Path, *, now: datetime.datetime) -> Certified:
    """Return new certificates for `127.0.0.1` and `localhost` in a folder, valid for some days."""
    authority = Authority(folder, name="authority", now=now)
    pair = authority.server("server")
    return Certified(authority.certificate, pair.certificate, pair.key)
