"""The documentation as data: fenced blocks in their order, and a cluster that their commands meet."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from agentjobs.dev.up import up

ROOT = Path(__file__).parents[3]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "examples" / "README.md"])
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"`(?P<name>[\w./-]+\.(?:yaml|py))`[^`\n]*:\n\n\Z")
# What differs from run to run: times, ages, hashes, names of folders. It is compared as "some word".
VARIES = re.compile(
    r"<?(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+>?|\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d))?|\d\d:\d\d:\d\d"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8}|\d{16}"
)
SECONDS = 120.0
# On a machine without kubectl what changes something is done by `agentjobs`, so that the rest of the page can be tried.
NO_KUBECTL = """kubectl() {
  case "$*" in
    "get agentjob "*" -w") agentjobs wait "$3" --for=condition=Finished --timeout 110s;;
    *uspend*|*budget*) ;;
    apply*) agentjobs apply -f "$3";;
    wait*jsonpath*) for i in {1..600}; do agentjobs get "${3#*/}" | grep -q "${2##*=}" && break; sleep 0.2; done;;
    wait*) agentjobs wait "${3#*/}" "$2" --timeout 110s;;
    patch*cancel*) agentjobs cancel "$3";;
    delete*) agentjobs delete "$3";;
  esac
}
"""
WITH_KUBECTL = 'kubectl() { command kubectl --cache-dir="$PWD/.kube" "$@"; }\n'


@dataclass(frozen=True, slots=True)
class Block:
    language: str
    text: str
    line: int
    file: str | None
    """Name of the file that the text before the block gives it."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command and the output that the page shows; `…` stands for anything."""

    line: int
    text: str
    output: tuple[str, ...]

    @property
    def watches(self) -> bool:
        return re.search(r" -w\b|logs -f", self.text) is not None

    @property
    def shown(self) -> tuple[str, ...]:
        """What the output must have. On a busy machine a watch may come too late for what is between first and last."""
        return (self.output[0], self.output[-1]) if self.watches and self.output else self.output

    @property
    def fails(self) -> bool:
        return any(re.match(r"error:|Error from server|The \w+ \"", line) for line in self.output)


def blocks(page):
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        name = FILE_NAME.search(text[: found.start()])
        line = text.count("\n", 0, found.start()) + 1
        yield Block(found["language"], found["text"], line, name["name"] if name else None)


def commands(block):
    """Split a console block at its `$`; a command continues where a line ends in a backslash."""
    found: list[tuple[int, str, list[str]]] = []
    goes_on = False
    for number, line in enumerate(block.text.splitlines(), start=block.line + 1):
        if goes_on:
            at, text, output = found[-1]
            found[-1] = (at, f"{text}\n{line}", output)
        elif line.startswith("$ "):
            found.append((number, line[2:], []))
        else:
            found[-1][2].append(line)
        goes_on = line.endswith("\\") and (goes_on or line.startswith("$ "))
    return [Command(number, text, tuple(output)) for number, text, output in found]


def pattern(line):
    """What a line of shown output looks like in any run."""
    words = []
    for word in line.split():
        parts = [re.escape(part) for part in word.split("…")]
        words.append(".*".join(VARIES.sub(r"\\S+", part.replace(r"\-", "-").replace(r"\.", ".")) for part in parts))
    return re.compile(r"\s+".join(words) + r"\s*$")


def missing(shown, said):
    """The first shown line that the output does not have, in the page's order; None when all are there."""
    lines = iter(said.splitlines())
    for line in shown:
        if line.strip() in {"", "…"}:
            continue
        if not any(pattern(line).match(one.strip()) for one in lines):
            return line
    return None


class Shell:
    """A folder like a reader's, in which the commands of one page are typed."""

    def __init__(self, folder, kubeconfig):
        self.folder = folder
        self.env = {**os.environ, "KUBECONFIG": str(kubeconfig), "NO_COLOR": "1", "COLUMNS": "200"}
        self.env["PATH"] = f"{Path(sys.executable).parent}:{self.env['PATH']}"
        self.has_kubectl = shutil.which("kubectl") is not None
        self.preamble = WITH_KUBECTL if self.has_kubectl else NO_KUBECTL

    def write(self, block):
        path = self.folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")

    def type(self, command):
        """Run a command; one that watches is ended when it has shown what the page shows."""
        script = self.preamble + command.text
        output = self.folder / "output"
        with output.open("wb") as out:
            # A group of its own, because a watch is a child of the shell.
            child = subprocess.Popen(
                ["bash", "-c", script],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
            deadline = time.monotonic() + SECONDS
            while child.poll() is None and time.monotonic() < deadline:
                if command.watches and missing(command.shown, output.read_text(errors="replace")) is None:
                    break
                time.sleep(0.05)
            ended = child.poll() is not None
            if not ended:
                os.killpg(child.pid, 15)
                child.wait(10)
        code = child.returncode if ended else 0 if command.watches else 124
        return output.read_text(errors="replace"), code


@pytest.fixture(scope="session")
def documentation():
    """Blocks, commands and the comparison, for tests."""
    return {"blocks": blocks, "commands": commands, "missing": missing}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(backend, forks, tmp_path_factory) -> AsyncIterator[tuple[Path, Path]]:
    """A development cluster, and the folder in which readers type: a checkout with examples."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "examples").symlink_to(ROOT / "examples")
    async with up(tmp_path_factory.mktemp("cluster"), apiserver=backend, working_folder=folder, forks=forks) as running:
        yield folder, running


@pytest.fixture
def shell():
    return Shell
