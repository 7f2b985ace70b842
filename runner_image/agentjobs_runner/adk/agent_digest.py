"""A digest of an agent's definition and code, by which a later start notices a changed image.

Called by `engine` once per start, after the agent was loaded.
"""

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

# In a larger package the rest is ignored: a start must not wait for a whole tree.
_MOST_FILES: Final = 500
_MOST_BYTES: Final = 8 * 1024 * 1024
_SOURCES: Final = frozenset({".py", ".yaml", ".yml"})


def agent_digest(agent: Mapping[str, Any]) -> str:
    """Return the digest of a job's `agent`: the definition, and the source of its package."""
    digest = hashlib.sha256(json.dumps(agent, sort_keys=True).encode())
    ref = str((agent.get("module") or {}).get("ref") or "")
    left = _MOST_BYTES
    for file, name in islice(_sources(ref.partition(":")[0]), _MOST_FILES):
        try:
            content = file.read_bytes()[:left]
        except OSError:  # a module without a file, or removed since
            continue
        left -= len(content)
        digest.update(f"\0{name}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _sources(module: str) -> Iterator[tuple[Path, str]]:
    """Yield the files of `module`'s top-level package with their relative names, in order."""
    top = sys.modules.get(module.partition(".")[0])
    if top is None:
        return
    for folder in sorted(getattr(top, "__path__", ())):
        root = Path(folder)
        for file in sorted(root.rglob("*")):
            if file.suffix in _SOURCES and file.is_file():
                yield file, file.relative_to(root).as_posix()
    if not hasattr(top, "__path__") and top.__file__:
        yield Path(top.__file__), Path(top.__file__).name
