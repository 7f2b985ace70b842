"""Claude Code in the runner next to its bare CLI, in turns, in one run.

    AGENTJOBS_CLAUDE=<path> python -m tests.bench.claude [ROUNDS]

The API and the gateway are ours, on the loopback. The bare CLI is `claude -p` with the same switches. A first request
is one for messages that reaches the API; the clock starts with the process.
"""

import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakeanthropic import Answer, FakeAnthropic
from tests.system.runner.conftest import TOKEN, FakeGateway, _Server

from agentjobs import contract
from agentjobs_runner.claude_code.command import ClaudeCodeSettings, Left, Place, SessionChoice, build

ROUNDS = 7
SPEC = {
    "agent": {"model": "anthropic/claude-sonnet-5-5", "claudeCode": {"permissionMode": "BypassPermissions"}},
    "input": {"message": "Say hello."},
}
TURNS = 30
AIM = 1.1


def bash(command: str) -> Answer:
    return {"tools": [{"name": "Bash", "input": {"command": command, "description": "a test"}}]}


@dataclass
class Bench:
    """A folder, an API and a gateway whose files outlive starts."""

    folder: Path
    claude: str
    api: FakeAnthropic = field(default_factory=FakeAnthropic)
    kept: dict[str, bytes] = field(default_factory=dict)
    writes: list[int] = field(default_factory=list)
    gateway: FakeGateway | None = None
    """Of the newest start."""
    runs: int = 0

    def bare(self) -> tuple[list[str], dict[str, str], Path]:
        """The command line, the environment and the folder of a bare run."""
        home = self._fresh()
        place = Place(self.claude, str(home), str(home), str(home))
        session = SessionChoice(f"00000000-0000-4000-8000-{self.runs:012d}", resumes=False)
        command = build(ClaudeCodeSettings.read(SPEC), place, session, Left())
        return list(command.argv), {**self._variables(), **command.env}, home

    def ours(self, start: int = 1, *, keeps: bool = True) -> tuple[list[str], dict[str, str], Path]:
        """The same of a start of the runner."""
        folder = self._fresh()
        (folder / "token").write_text(TOKEN)
        attempt = {"namespace": "default", "job": "bench", "uid": f"u{self.runs - start}", "start": start, "attempt": 1}
        attempt |= {"maxAttempts": 9, "resolved": {"spec": SPEC, "scripts": {}}, "result": None}
        attempt |= {"session": {}} if keeps else {}
        before, gateway = self.gateway, FakeGateway(attempt, kept=self.kept)
        if start > 1 and before is not None:
            known = {step["key"]: step for step in before.steps}.values()
            gateway.recorded = [{**step, "n": n, "start": start - 1} for n, step in enumerate(known, 1)]
            attempt["journal"] = {"run": 1, "last": len(gateway.recorded), "versions": before.versions}
        self.gateway = gateway
        server = _Server(("127.0.0.1", 0), _handler())
        server.answer = self._counting(gateway.answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        variables = self._variables() | {
            contract.ENV_ENGINE: contract.ENGINE_CLAUDE_CODE,
            contract.ENV_CLAUDE: self.claude,
            contract.ENV_GATEWAY_URL: f"http://127.0.0.1:{server.server_address[1]}",
            contract.ENV_TOKEN_FILE: str(folder / "token"),
            contract.ENV_NAMESPACE: "default",
            contract.ENV_JOB: "bench",
            contract.ENV_START: str(start),
            contract.ENV_TERMINATION_FILE: str(folder / "termination"),
        }
        return [sys.executable, "-m", "agentjobs_runner"], variables, folder

    def _fresh(self) -> Path:
        self.runs += 1
        folder = self.folder / str(self.runs)
        folder.mkdir()
        return folder

    def _variables(self) -> dict[str, str]:
        known = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "IS_SANDBOX": "1"}
        return known | {"ANTHROPIC_BASE_URL": self.api.url, "ANTHROPIC_API_KEY": "sk-not-a-real-key-0123456789"}

    def _counting(self, answer: Callable[..., Any]) -> Callable[..., Any]:
        def counted(method: str, path: str, headers: dict[str, str], body: Any) -> Any:
            if method == "PUT" and path.startswith(contract.PATH_KEPT_CONTENT):
                self.writes.append(len(body or b""))
            return answer(method, path, headers, body)

        return counted


def _handler() -> Any:
    from tests.system.runner.conftest import _Handler

    return _Handler


@dataclass(frozen=True)
class Timed:
    """One run; all in seconds but for memory, in MiB."""

    first: float
    whole: float
    cpu: float
    memory: float


def timed(bench: Bench, how: tuple[list[str], dict[str, str], Path], script: list[Answer]) -> Timed:
    """Run to the end."""
    argv, variables, folder = how
    script_began = len(bench.api.requests)
    bench.api.script, bench.api._used = script, set()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    process = subprocess.Popen(
        argv, env=variables, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    peak = Peak(process.pid)
    out, err = process.communicate(b"Say hello.", timeout=300)
    whole = time.monotonic() - began
    if process.returncode != 0:
        raise SystemExit(f"{argv[0]} failed:\n{out[-2000:]!r}\n{err[-2000:]!r}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Timed(bench.api.requests[script_began].time - began, whole, cpu, peak.stop())


class Peak:
    """The largest resident memory of one process itself, looked at while it runs."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._most = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """Return it, in MiB."""
        self._done.set()
        self._thread.join()
        return self._most

    def _run(self) -> None:
        while not self._done.wait(0.02):
            try:
                line = next(one for one in self._status.read_text().splitlines() if one.startswith("VmHWM:"))
            except (OSError, StopIteration):
                continue
            self._most = max(self._most, int(line.split()[1]) / 1024)


def killed(bench: Bench) -> tuple[float, float]:
    """Kill a start in a model call; return seconds from there to the next request, by the runner and by the bare CLI.

    Both begin their process at the same time: what a cluster takes to make a pod is not in it.
    """
    found = []
    for ours in (True, False):
        bench.api.script, bench.api._used = [bash("echo one"), {"text": "late", "hang": 60}, {"text": "Done."}], set()
        bench.kept.clear()
        argv, variables, folder = bench.ours(1) if ours else bench.bare()
        asked = len(bench.api.requests)
        process = subprocess.Popen(
            argv, env=variables, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert process.stdin is not None
        process.stdin.write(b"Say hello.")
        process.stdin.close()
        while len(bench.api.requests) < asked + 2:
            time.sleep(0.005)
        time.sleep(1.5)  # so that the session is kept
        process.send_signal(signal.SIGKILL)
        process.wait()
        if ours:
            argv, variables, folder = bench.ours(2)
        else:
            argv = [*argv[: argv.index("--session-id")], "--resume", argv[argv.index("--session-id") + 1]]
        began = time.monotonic()
        run = subprocess.run(
            argv, env=variables, cwd=folder, input=b"Go on.", capture_output=True, timeout=120, check=False
        )
        if run.returncode != 0 or "echo one" not in bench.api.requests[-1].said:
            raise SystemExit(f"{argv[0]} did not go on:\n{run.stdout[-2000:]!r}\n{run.stderr[-2000:]!r}")
        found.append(bench.api.requests[-1].time - began)
    return found[0], found[1]


def row(name: str, ours: list[float], bare: list[float] | None, unit: str) -> None:
    """Print medians and the median of the ratios run by run."""
    middle = statistics.median
    line = f"{name:<48}{middle(ours):>10.2f} {unit:<4}"
    if bare:
        ratio = middle(one / other for one, other in zip(ours, bare, strict=True))
        line += f"{middle(bare):>10.2f} {unit:<4}{ratio:>8.2f}   best {min(ours):.2f}, {min(bare):.2f}"
    print(line, flush=True)


def main(rounds: int = ROUNDS) -> None:
    """Measure and print."""
    claude = os.environ.get(contract.ENV_CLAUDE)
    if not claude:
        raise SystemExit(f"set {contract.ENV_CLAUDE} to the path of Claude Code's CLI")
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), claude)
        pairs = [
            (timed(bench, bench.ours(), [{"text": "hi"}]), timed(bench, bench.bare(), [{"text": "hi"}]))
            for _ in range(rounds + 1)
        ][1:]
        print(f"{f'median of {rounds} rounds':<48}{'runner':>15}{'bare CLI':>15}{'ratio':>8}")
        for title, kind, unit in (
            (f"start to first request (aim {AIM})", "first", "s"),
            ("whole run of one answer", "whole", "s"),
            ("its CPU, with the CLI's", "cpu", "s"),
        ):
            row(title, [getattr(one, kind) for one, _ in pairs], [getattr(other, kind) for _, other in pairs], unit)
        row("memory beside the CLI's: the runner's own", [one.memory for one, _ in pairs], None, "MiB")
        row("memory of the CLI", [other.memory for _, other in pairs], None, "MiB")
        resumed = [killed(bench) for _ in range(rounds)]
        row(
            "killed in a model call to the next request",
            [one for one, _ in resumed],
            [other for _, other in resumed],
            "s",
        )
        script = [*[bash(f"head -c 1500 /dev/zero | tr '\\0' x; echo {n}") for n in range(TURNS)], {"text": "Done."}]
        bench.writes.clear()
        kept = [timed(bench, bench.ours(), script) for _ in range(3)]
        writes, sent = len(bench.writes) / 3, sum(bench.writes) / 3
        alone = [timed(bench, bench.ours(keeps=False), script) for _ in range(3)]
        row(
            f"{TURNS} tool calls, session kept and not kept",
            [one.whole for one in kept],
            [one.whole for one in alone],
            "s",
        )
        row("its CPU", [one.cpu for one in kept], [one.cpu for one in alone], "s")
        print(f"the session took {writes:.0f} requests, {sent / 1024:.0f} KiB")
        print(json.dumps({"writes": writes, "bytes": sent}))
        bench.api.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
