"""`agentjobs demo`: runs every example in a development cluster, shows it live, and compares its end."""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import yaml
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agentjobs.dev.parts import tail
from agentjobs.dev.session import FAILURES, backend
from agentjobs.dev.up import DevCluster, up
from devcluster.client import CONFIG_MAPS, Object, Resource

AGENT_JOBS = Resource("agentjobs.dev", "v1alpha1", "agentjobs", "AgentJob")
TERMINAL = ("Succeeded", "Failed", "Cancelled", "Skipped")
# The slowest example takes about 20 s, for two retries and a snooze; a busy machine may take six times as long.
TIMEOUT_SECONDS = 120.0

# The largest width of the table without the answer: with all columns, and with those of a narrow terminal.
_WIDE = 76
_NARROW = 44
# A shorter part of an answer is not useful.
_LEAST_ANSWER = 24

AGENT_TEMPLATES = Resource("agentjobs.dev", "v1alpha1", "agenttemplates", "AgentTemplate")
_KINDS = {"ConfigMap": CONFIG_MAPS, "AgentTemplate": AGENT_TEMPLATES, "AgentJob": AGENT_JOBS}
_COLOURS = {
    "Succeeded": "green",
    "Failed": "red",
    "Cancelled": "yellow",
    "Skipped": "yellow",
    "Suspended": "yellow",
    "Running": "cyan",
}


@dataclass(slots=True)
class Example:
    """One AgentJob: its expected end (a line of expected/endings.yaml) and its current state."""

    name: str
    expected: Mapping[str, Any]
    job: Object = field(default_factory=dict)

    @property
    def phase(self) -> str:
        return str((self.job.get("status") or {}).get("phase") or "")

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen: it ended, or it stays in the phase that is expected at the end."""
        return self.phase in TERMINAL or self.phase == self.expected["phase"]

    @property
    def answer(self) -> str:
        return str(((self.job.get("status") or {}).get("result") or {}).get("summary", ""))

    def outcome(self) -> dict[str, Any]:
        """Return the fields that are compared with `expected`."""
        status = self.job.get("status") or {}
        return {
            "phase": self.phase,
            "attempts": status.get("attempts", 0),
            "starts": status.get("starts", 0),
            "reason": status.get("reason", ""),
        }

    def mistakes(self) -> list[str]:
        """Return the differences between the end and the expected one."""
        outcome = self.outcome()
        return [
            f"{key} {outcome.get(key)!r} instead of {value!r}"
            for key, value in self.expected.items()
            if outcome.get(key) != value
        ]


def demo() -> int:
    """Run the demo and return its exit status: 0 if every example ended as expected."""
    folder = examples_folder()
    if folder is None:
        print("agentjobs demo: no examples found; run it in a checkout of the project", file=sys.stderr)
        return 1
    logging.basicConfig(level=logging.ERROR)
    try:
        return asyncio.run(_bounded(folder, sys.stdout))
    except FAILURES as error:
        print(f"agentjobs demo: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


def examples_folder() -> Path | None:
    """Return the folder of the checkout's examples, else of the current folder's."""
    for folder in (Path(__file__).parents[3] / "examples", Path("examples").absolute()):
        if (folder / "expected" / "endings.yaml").exists():
            return folder
    return None


def load(folder: Path) -> tuple[list[Example], list[Object]]:
    """Return the examples in the order of expected/endings.yaml, and all their objects."""
    expected: dict[str, Any] = yaml.safe_load((folder / "expected" / "endings.yaml").read_text())
    objects = [
        document
        for path in sorted(folder.glob("*.yaml"))
        if path.name != "expected.yaml"
        for document in yaml.safe_load_all(path.read_text())
        if document
    ]
    return [Example(name, ending) for name, ending in expected.items()], objects


async def _bounded(folder: Path, out: TextIO) -> int:
    """Handle SIGTERM like Ctrl-C."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with tempfile.TemporaryDirectory(prefix="agentjobs-demo-", ignore_cleanup_errors=True) as place:
        print("Starting a development cluster …", file=out, flush=True)
        async with up(Path(place), apiserver=backend(os.environ), working_folder=folder.parent) as cluster:
            print(f"Ready in {cluster.phases['ready']:.1f} s. Running the examples of {folder}.", file=out, flush=True)
            status = await run(cluster, folder, out)
    if status == 0:
        print(f"\nThis cluster has been removed. To start one that stays:\n\n{_next()}", file=out, flush=True)
    return status


def _next() -> str:
    """Return the commands for a cluster that keeps running."""
    activate = Path(sys.prefix) / "bin" / "activate"
    shown = activate.relative_to(Path.cwd()) if activate.is_relative_to(Path.cwd()) else activate
    return "".join(f"  {line}\n" for line in (*([f". {shown}"] if activate.is_file() else []), "agentjobs dev"))


async def run(cluster: DevCluster, folder: Path, out: TextIO, *, timeout: float = TIMEOUT_SECONDS) -> int:
    """Apply the examples to `cluster`, show them until they end, print a summary and return the exit status."""
    examples, objects = load(folder)
    began = time.monotonic()
    show: Show = _Table(out, examples) if out.isatty() else _Lines(out, examples, began)
    following = asyncio.create_task(_follow(cluster, {example.name: example for example in examples}, show))
    broken = asyncio.create_task(cluster.until_broken())
    try:
        # ConfigMaps first, so that no job waits for its script.
        for body in sorted(objects, key=lambda entry: str(entry["kind"] != "ConfigMap")):
            await cluster.client.create(_KINDS[body["kind"]], cluster.place.namespace, body)
        await asyncio.wait({following, broken}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        for task in (broken, following):
            if task.done():
                task.result()
    finally:
        for task in (following, broken):
            task.cancel()
        await asyncio.gather(following, broken, return_exceptions=True)
        show.close()
    return summary(examples, out, seconds=time.monotonic() - began, log=cluster.parts["operator"].log)


async def _follow(cluster: DevCluster, examples: Mapping[str, Example], show: "Show") -> None:
    """Update the jobs of the examples; return when all have ended."""
    async for event in cluster.client.follow(AGENT_JOBS, cluster.place.namespace):
        for job in event.items:
            example = examples.get(job["metadata"]["name"])
            if example is not None:
                example.job = job
                show.update(example)
        if all(example.ended for example in examples.values()):
            return


def summary(examples: Sequence[Example], out: TextIO, *, seconds: float, log: Path) -> int:
    """Print the end of each example and return the exit status."""
    wrong = [example for example in examples if example.mistakes()]
    print(file=out)
    for example in examples:
        mistakes = example.mistakes()
        outcome = example.outcome()
        attempts = "1 attempt" if outcome["attempts"] == 1 else f"{outcome['attempts']} attempts"
        answer = _plain(example.answer) or f"({outcome['reason']})"
        text = f"  {'✗' if mistakes else '✓'} {example.name:<14} {outcome['phase'] or 'unknown'}, {attempts}: {answer}"
        print(_cut(text, shutil.get_terminal_size().columns) if out.isatty() else text, file=out)
        for mistake in mistakes:
            print(f"      {mistake}", file=out)
        if mistakes and (message := _message(example)):
            print(f"      {message}", file=out)
    right = len(examples) - len(wrong)
    print(f"\n{right} of {len(examples)} examples ended as expected, in {seconds:.1f} s.", file=out, flush=True)
    if wrong:
        print(f"The end of the operator's log:\n{tail(log)}", file=out, flush=True)
    return 1 if wrong else 0


def _message(example: Example) -> str:
    history = (example.job.get("status") or {}).get("attemptHistory") or []
    return str(history[-1].get("message", "")) if history else ""


class Show:
    """Shows the examples while they run."""

    def update(self, example: Example) -> None:
        """Show a change of one example."""

    def close(self) -> None:
        """Restore the terminal."""


class _Lines(Show):
    """Prints a line for each change, for logs and pipes."""

    def __init__(self, out: TextIO, examples: Sequence[Example], began: float) -> None:
        self._out = out
        self._began = began
        self._printed: dict[str, tuple[Any, ...]] = {}

    def update(self, example: Example) -> None:
        outcome = example.outcome()
        now = (outcome["phase"], outcome["attempts"], outcome["starts"])
        if self._printed.get(example.name) != now and outcome["phase"]:
            self._printed[example.name] = now
            seconds = time.monotonic() - self._began
            text = f"{outcome['phase']:<10} attempt {outcome['attempts']}  {outcome['reason']}"
            print(f"{seconds:6.1f} s  {example.name:<14} {text}", file=self._out, flush=True)


class _Table(Show):
    """A table that is updated in place, for terminals."""

    def __init__(self, out: TextIO, examples: Sequence[Example]) -> None:
        self._examples = examples
        self._console = Console(file=out)
        self._live = Live(self._table(), console=self._console, refresh_per_second=8)
        self._live.start()

    def update(self, example: Example) -> None:
        self._live.update(self._table())

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._live.stop()

    def _table(self) -> Table:
        table = Table(expand=False)
        wide = self._console.width - _WIDE >= _LEAST_ANSWER
        more = ("starts", "reason") if wide else ()
        for column in ("example", "phase", "attempts", *more, "answer" if wide else "answer or reason"):
            table.add_column(column, no_wrap=True)
        room = max(_LEAST_ANSWER, self._console.width - (_WIDE if wide else _NARROW))
        for example in self._examples:
            outcome = example.outcome()
            phase = outcome["phase"] or "…"
            colour = _COLOURS.get(phase, "white")
            answer = example.answer or ("" if wide else outcome["reason"])
            table.add_row(
                example.name,
                Text(phase, style=colour),
                str(outcome["attempts"]),
                *((str(outcome["starts"]), Text(_plain(outcome["reason"]))) if wide else ()),
                Text(_cut(_plain(answer), room)),  # without markup, since an answer is data
            )
        return table


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _plain(text: str) -> str:
    """Return an answer as one line."""
    return " ".join(text.split())
