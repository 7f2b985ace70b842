"""Recordings of the real CLI: what it printed, how it ended, and what a job that ran it would have settings for."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from agentjobs_runner.claude_code.command import MODES, ClaudeCodeSettings
from agentjobs_runner.claude_code.stream import Reader
from agentjobs_runner.claude_code.verdict import Exit, judge
from agentjobs_runner.output import Output

FOLDER = Path(__file__).parent / "unit/runner/claude_code/recordings"
_VALUED = ("--model", "--permission-mode", "--mcp-config", "--json-schema")


@dataclass(frozen=True)
class Recording:
    name: str
    lines: tuple[bytes, ...]
    exit: Exit
    settings: ClaudeCodeSettings
    output: Output

    def judged(self):
        return judged(self.lines, self.exit, self.settings, self.output)


def judged(lines, ended, settings, output):
    reader = Reader()
    for line in lines:
        reader.feed(line)
    return judge(reader.facts, ended, settings, output)


@cache
def recordings():
    """All of them, by name."""
    index = json.loads((FOLDER / "index.json").read_text())
    return {name: _recording(name, told) for name, told in index.items()}


def _recording(name, told):
    args = told["args"]
    given = {flag: args[args.index(flag) + 1] for flag in _VALUED if flag in args}
    claude = {"permissionMode": next(mode for mode, word in MODES.items() if word == _mode(given))}
    config = given.get("--mcp-config")
    schema = json.loads(given["--json-schema"]) if "--json-schema" in given else None
    settings = ClaudeCodeSettings.read({"agent": {"model": given.get("--model", "opus"), "claudeCode": claude}})
    if config is not None and config.startswith("{"):
        # Not by `read`, which refuses some of them before the CLI would.
        servers = frozenset(json.loads(config)["mcpServers"])
        settings = ClaudeCodeSettings(model=settings.model, mode=settings.mode, mcp_config=config, servers=servers)
    # A schema that is none is refused when it is read; here it is the CLI that refused it.
    output = Output.read({"schema": schema} if schema is not None and schema.get("type") != "nope" else None)
    lines = tuple((FOLDER / f"{name}.jsonl").read_bytes().splitlines(keepends=True))
    return Recording(name, lines, Exit(told["exitCode"], told["stderr"]), settings, output)


def _mode(given):
    mode = given.get("--permission-mode", "")
    return "" if mode == "auto" else mode
