"""Jobs of Claude Code: the runner as a process, its gateway with what it keeps, a scripted API, and the CLI.

The CLI is the one that AGENTJOBS_CLAUDE names, else the stand-in `tests/claudecli.py`. The same tests run with both.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.fakeanthropic import Answer, FakeAnthropic

from agentjobs import contract

STAND_IN = Path(__file__).parents[3] / "claudecli.py"
CLAUDE = os.environ.get(contract.ENV_CLAUDE) or str(STAND_IN)
MODEL = "anthropic/claude-sonnet-5-5"


def bash(command: str, **more: Any) -> dict[str, Any]:
    return {"name": "Bash", "input": {"command": command, "description": "a test"}, **more}


@dataclass
class Job:
    """A job whose starts follow each other, as the operator would have them."""

    api: FakeAnthropic
    launch: Callable[..., Any]
    gateway: Callable[..., Any]
    kept: dict[str, bytes] = field(default_factory=dict)
    recorded: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: Any = None
    starts: int = 0

    def start(
        self,
        *,
        spec: dict[str, Any] | None = None,
        claude: dict[str, Any] | None = None,
        attempt: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        **more: Any,
    ) -> Any:
        """Begin the next start, and return its run, with its gateway."""
        self._take_in()
        self.starts += 1
        agent = {"model": MODEL, "claudeCode": {"permissionMode": "BypassPermissions", **(claude or {})}}
        whole = {"agent": agent, "input": {"message": "Say hello."}, **(spec or {})}
        self.fake = self.gateway(spec=whole, scripts={}, start=self.starts)
        steps = sorted(self.recorded.values(), key=lambda step: step["n"])
        self.fake.recorded = steps
        if self.starts > 1:
            last = steps[-1]["n"] if steps else 0
            self.fake.attempt["journal"] = {"run": 1, "last": last, "versions": self.versions}
        self.fake.attempt |= {"session": {}, **(attempt or {})}
        self.fake.kept = self.kept
        known = {"ANTHROPIC_BASE_URL": self.api.url, "ANTHROPIC_API_KEY": "sk-not-a-real-key-0123456789"}
        named = {contract.ENV_ENGINE: contract.ENGINE_CLAUDE_CODE, contract.ENV_CLAUDE: CLAUDE, "IS_SANDBOX": "1"}
        return self.launch(self.fake, **{**known, **named, **(env or {})}, **more)

    def _take_in(self) -> None:
        """Take in what the start before recorded."""
        fake, n = getattr(self, "fake", None), len(self.recorded)
        for step in fake.steps if fake is not None else ():
            n += 1
            before = self.recorded.get(step["key"], {"n": n})
            self.recorded[step["key"]] = {**step, "n": before["n"], "start": self.starts}
        self.versions = getattr(fake, "versions", None) or self.versions

    def asked(self) -> list[str]:
        """What the API was asked, in short: the newest message of each request."""
        return [str(request.body["messages"][-1]["content"]) for request in self.api.requests]


@pytest.fixture
def api() -> Iterator[FakeAnthropic]:
    fake = FakeAnthropic()
    yield fake
    fake.close()


@pytest.fixture
def job(api: FakeAnthropic, gateway: Callable[..., Any], start: Callable[..., Any]) -> Callable[..., Job]:
    """`job(answer, ...)`: a job whose API gives these answers."""

    def made(*script: Answer) -> Job:
        api.script = list(script) or api.script
        return Job(api, start, gateway)

    return made


def alive(marker: str) -> list[int]:
    """The processes whose command line has `marker`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if re.search(marker, line):
                found.append(int(entry.name))
    return found


def left(marker: str) -> list[int]:
    """The processes whose command line has `marker`, once those that were killed have had ten seconds to end."""
    deadline = time.monotonic() + 10
    while (found := alive(marker)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


@pytest.fixture
def stand_in() -> dict[str, str]:
    """The environment of a start that runs the stand-in, whichever CLI the others run."""
    return {contract.ENV_CLAUDE: str(STAND_IN)}
