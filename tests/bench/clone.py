"""What a workspace costs: `python -m tests.bench.clone [--megabytes M] [--files N] [--depth D] [--json FILE]`.

A repository of random bytes, so that packing does not make it small, behind a local http server. Its clone by plain
git, by the container that clones, and again with what that left in the cache. Then saves of the checkout, with and
without a change, and the restoring of them in the next start.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.gitservers import HttpServer, git
from tests.memorystores import MemoryKept

from agentjobs_runner.workspace import clone
from agentjobs_runner.workspace.container import Task
from agentjobs_runner.workspace.git import LOCAL, Git
from agentjobs_runner.workspace.saved import Saved
from agentjobs_runner.workspace.settings import BASE_FILE, Base, Place, Settings

SAVES = 9
FAST = (("core.compression", "1"), ("core.bigFileThreshold", "8m"))
"""As in `agentjobs_runner.workspace.start`."""


def repository(root: Path, megabytes: int, files: int) -> None:
    work, bare = root / "work", root / "served/large.git"
    git("init", "-q", "-b", "main", str(work))
    size = megabytes * 1_000_000 // files
    for number in range(files):
        file = work / f"{number // 100:03}/{number:05}.bin"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(os.urandom(size))
    git("-c", "core.compression=0", "add", "-A", cwd=work)
    git("commit", "-q", "-m", "all", cwd=work)
    git("-c", "pack.window=0", "-c", "pack.threads=2", "repack", "-q", "-a", "-d", cwd=work)
    git("clone", "-q", "--bare", str(work), str(bare))


def timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def cloned(url: str, place: Place, kept: MemoryKept, depth: int, cache: Path | None) -> None:
    place.root.mkdir()
    spec = {"workspace": {"git": {"url": url, "depth": depth}}}
    attempt = {"resolved": {"spec": spec}, "result": None}
    clone.work(Task(attempt, kept, place, None, cache))  # type: ignore[arg-type]


def saves(place: Place, kept: MemoryKept, url: str) -> dict[str, float]:
    settings = Settings.of({"workspace": {"git": {"url": url}}})
    assert settings is not None
    base = Base.load(kept.read(BASE_FILE), settings)
    assert base is not None
    saved = Saved(place, Git(protocols=LOCAL, settings=FAST), kept, base, 1)
    found = {"before the engine": timed(saved.prepare)}
    found["save, nothing changed"] = statistics.median(timed(saved.save) for _ in range(SAVES))

    def changed(number: int) -> float:
        (place.tree / "changed.txt").write_text(f"change {number}\n" * 100)
        return timed(saved.save)

    found["save, one small file"] = statistics.median(changed(number) for number in range(SAVES))
    (place.tree / "large").write_bytes(os.urandom(50_000_000))
    found["save, one file of 50 MB"] = timed(saved.save)
    return found


def restored(place: Place, kept: MemoryKept, url: str) -> dict[str, float]:
    settings = Settings.of({"workspace": {"git": {"url": url}}})
    assert settings is not None
    base = Base.load(kept.read(BASE_FILE), settings)
    assert base is not None
    saved = Saved(place, Git(protocols=LOCAL, settings=FAST), kept, base, 2)
    return {"before the engine of a later start": timed(saved.prepare), "restore": timed(saved.restore)}


def main(megabytes: int, files: int, depth: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="agentjobs-bench-") as folder:
        root = Path(folder)
        (root / "served").mkdir()
        repository(root, megabytes, files)
        server = HttpServer(root / "served", secured=False)
        url, cache, kept = f"{server.url}/large.git", root / "cache", MemoryKept()
        deep = [f"--depth={depth}"] if depth else []
        found = {
            "git clone": timed(lambda: git("clone", "-q", *deep, url, str(root / "plain"))),
            "clone without a cache": timed(lambda: cloned(url, Place(root / "a"), MemoryKept(), depth, None)),
            "clone, cold cache": timed(lambda: cloned(url, Place(root / "b"), MemoryKept(), depth, cache)),
            "clone, cached": timed(lambda: cloned(url, Place(root / "c"), kept, depth, cache)),
        }
        found |= saves(Place(root / "c"), kept, url)
        cloned(url, Place(root / "d"), kept, depth, cache)
        found |= restored(Place(root / "d"), kept, url)
        server.close()
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    figures = main(asked.megabytes, asked.files, asked.depth)
    for name, seconds in figures.items():
        sys.stdout.write(f"{name:40} {seconds:8.3f} s\n")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
