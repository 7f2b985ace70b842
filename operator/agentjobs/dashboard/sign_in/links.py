"""Links that sign in once, within ten minutes: for `agentjobs dev`, whose user is the administrator of its cluster.

A link is a file in a folder that only its user can read. The file is named by the digest of the link's secret, and
renaming it uses the link.
"""

import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

VALID: Final = timedelta(minutes=10)
_SECRET_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class Links:
    """The links of a folder."""

    folder: Path

    def make(self, token: str, now: datetime) -> str:
        """Return the secret of a new link, which signs in with a token of the API server."""
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in self.folder.glob("*.link"):
            if old.stat().st_mtime < (now - VALID).timestamp():
                old.unlink(missing_ok=True)
        file = self._file(secret)
        file.touch(mode=0o600, exist_ok=False)
        file.write_text(json.dumps({"token": token, "until": (now + VALID).isoformat()}))
        return secret

    def use(self, secret: str, now: datetime) -> str | None:
        """Return the token of a link, and use it up; None for one that is unknown, used or too old."""
        file = self._file(secret)
        taken = file.with_suffix(".used")
        try:
            file.rename(taken)  # succeeds only once
            found = json.loads(taken.read_text())
            taken.unlink()
        except FileNotFoundError:
            return None
        return str(found["token"]) if datetime.fromisoformat(found["until"]) > now else None

    def _file(self, secret: str) -> Path:
        return self.folder / f"{sha256(secret.encode()).hexdigest()}.link"
