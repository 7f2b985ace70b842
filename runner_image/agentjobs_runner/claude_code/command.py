"""The command line of Claude Code, and its environment. Pure.

The job's fields become flags; settings that would redirect it, make it wait or let the repository configure it are
disabled. It contains no secrets: the token stays in its file, the prompt is standard input.
"""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentjobs.models.names import CLAUDE_CODE, LONG_CONTEXT
from agentjobs_runner.claude_code.prompt import DEFAULT_APPEND
from agentjobs_runner.endings import config_invalid

MODES: Final = {
    "Default": "",
    "AcceptEdits": "acceptEdits",
    "Plan": "plan",
    "DontAsk": "dontAsk",
    "BypassPermissions": "bypassPermissions",
}
"""The CLI's names of `permissionMode`; its default is omitted."""
WAITING: Final = ("ScheduleWakeup", "Monitor", "CronCreate", "Workflow", "SendMessage")
"""Tools that keep the process waiting, which costs the job."""
OWN_MODEL: Final = "default"
"""The CLI's model if the job has none."""

# Linux allows 128 KiB for one argument, with its terminating zero.
_ARGUMENT_BYTES: Final = 128 * 1024 - 1
# Below the ten minutes of `timeouts.progress`; above the two that a call may wait in the proxy.
_REQUEST_SECONDS: Final = 300
_SILENCE_SECONDS: Final = 240
_RETRIES: Final = 2
_KEY_SECONDS: Final = 60
_TRANSPORTS: Final = frozenset({"http", "sse", "ws", "streamable-http"})

# Variables that change the CLI's address, credentials or kind of session.
_ELSEWHERE: Final = frozenset(
    {
        *("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS", "ANTHROPIC_UNIX_SOCKET"),
        *("CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN_FILE_DESCRIPTOR"),
        *("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY"),
    }
)
_OTHER_SESSION: Final = frozenset(
    {
        *("ANTHROPIC_MODEL", "ANTHROPIC_SMALL_FAST_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL", "CLAUDE_CODE_MAX_TURNS"),
        *("CLAUDE_CONFIG_DIR", "CLAUDE_CODE_TMPDIR", "CLAUDE_CODE_SIMPLE", "CLAUDE_CODE_REMOTE", "CLAUDECODE"),
        *("CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SESSION_ID"),
    }
)
_SWITCHES: Final[Mapping[str, str]] = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    "CLAUDE_CODE_DISABLE_CRON": "1",
    "CLAUDE_CODE_STARTUP_FAILURE_RESULTS": "1",
    "CLAUDE_CODE_DISABLE_REFUSAL_FALLBACK": "1",
    "CLAUDE_CODE_DISABLE_REFUSAL_RETRY": "1",
    "CLAUDE_CODE_DISABLE_MODEL_ACCESS_FALLBACK": "1",
    "CLAUDE_CODE_DISABLE_LEGACY_MODEL_REMAP": "1",
    # A message may contain untrusted text: `@/some/file` in it must not read the file.
    "CLAUDE_CODE_DISABLE_FILE_MENTIONS": "1",
    "CLAUDE_CODE_MAX_RETRIES": str(_RETRIES),
    "CLAUDE_BYTE_STREAM_IDLE_TIMEOUT_MS": str(_SILENCE_SECONDS * 1000),
    "API_TIMEOUT_MS": str(_REQUEST_SECONDS * 1000),
}
# Aliases by which its own tools request a smaller or larger model.
_MODEL_NAMES: Final = (
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
)


@dataclass(frozen=True, slots=True)
class ClaudeCodeSettings:
    """A job's settings of Claude Code."""

    model: str
    """One of the CLI's names, or a model's own."""
    mode: str = "Default"
    system_prompt: str | None = None
    append_system_prompt: str = DEFAULT_APPEND
    allowed_tools: tuple[str, ...] = ()
    disallowed_tools: tuple[str, ...] = ()
    mcp_config: str | None = None
    servers: frozenset[str] = frozenset()
    """Names of the servers of `mcp_config`: the job needs all of them."""
    remote_servers: frozenset[str] = frozenset()
    """Those with an address."""
    extra_args: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, spec: Mapping[str, Any]) -> "ClaudeCodeSettings":
        """Return the settings of a resolved spec, with aliases in `agent.model` replaced.

        Raises:
            StartEnded: ConfigInvalid for values that the CLI would misinterpret or ignore.
        """
        agent: Mapping[str, Any] = spec.get("agent") or {}
        given: Mapping[str, Any] = agent.get("claudeCode") or {}
        model = str(agent.get("model") or OWN_MODEL).removeprefix("anthropic/")
        if not model or model.startswith("-"):
            raise config_invalid(f"agent.model {model!r} is not a model; use one of Anthropic, e.g. sonnet")
        mode = str(given.get("permissionMode") or "Default")
        if mode not in MODES:
            raise config_invalid(f"agent.claudeCode.permissionMode: this runner has no {mode!r}")
        config = given.get("mcpConfig")
        servers = {} if config is None else _servers(str(config))
        appended = given.get("appendSystemPrompt")
        return cls(
            model=model,
            mode=mode,
            system_prompt=given.get("systemPrompt"),
            append_system_prompt=DEFAULT_APPEND if appended is None else appended,
            allowed_tools=_rules(given, "allowedTools"),
            disallowed_tools=_rules(given, "disallowedTools"),
            mcp_config=config,
            servers=frozenset(servers),
            remote_servers=frozenset(name for name, server in servers.items() if "command" not in server),
            extra_args=tuple(given.get("extraArgs") or ()),
            schema=_schema(spec),
        )


@dataclass(frozen=True, slots=True)
class Place:
    """The CLI's environment. All except `base_url` are paths."""

    binary: str
    home: str
    tmp: str
    tree: str
    base_url: str | None = None
    """The model proxy's; None if the pod's environment has address and key."""
    token_file: str | None = None
    """With `base_url`: the file with the pod's current token."""
    mcp_config_file: str | None = None
    """The file with `ClaudeCodeSettings.mcp_config`."""
    ca_file: str | None = None
    """Additional CA certificates, for the proxy."""


@dataclass(frozen=True, slots=True)
class SessionChoice:
    """The session to use; `resumes` if its file exists."""

    id: str
    resumes: bool


@dataclass(frozen=True, slots=True)
class Left:
    """The job's remaining budget, over all of its starts; None for no limit.

    `cost` is in dollars, and only used without a proxy.
    """

    turns: int | None = None
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """The program to execute. `unset` are variables of the runner that the CLI must not inherit."""

    argv: tuple[str, ...]
    env: dict[str, str]
    unset: frozenset[str]


def build(settings: ClaudeCodeSettings, place: Place, session: SessionChoice, left: Left) -> Command:
    """Return the command of one start. The prompt is standard input.

    Raises:
        StartEnded: ConfigInvalid for an argument that is too long for Linux.
    """
    argv = [place.binary, "-p", "--output-format", "stream-json", "--verbose", "--model", settings.model]
    if MODES[settings.mode]:
        argv += ["--permission-mode", MODES[settings.mode]]
    argv += ["--setting-sources", "user", "--strict-mcp-config", "--settings", _settings(place)]
    if place.mcp_config_file is not None:
        argv += ["--mcp-config", place.mcp_config_file]
    if settings.system_prompt is not None:
        argv.append(f"--system-prompt={settings.system_prompt}")
    argv += [f"--append-system-prompt={settings.append_system_prompt}", *settings.extra_args]
    # Lists end at the next flag, so each is followed by one.
    if settings.allowed_tools:
        argv += ["--allowedTools", *settings.allowed_tools]
    argv += ["--disallowedTools", *dict.fromkeys((*WAITING, *settings.disallowed_tools))]
    if left.turns is not None:
        argv += ["--max-turns", str(max(1, left.turns))]
    if left.cost is not None:
        argv += ["--max-budget-usd", f"{max(left.cost, 0.0001):.4f}"]
    if settings.schema is not None:
        argv += ["--json-schema", json.dumps(settings.schema, separators=(",", ":"))]
    argv += ["--resume" if session.resumes else "--session-id", session.id]
    for word in argv:
        if problem := _argument_problem(word):
            name = word.partition("=")[0] if word.startswith("--") else "output.schema or agent.claudeCode"
            raise config_invalid(f"{name}: {problem}")
    return Command(tuple(argv), _environment(settings, place), _unset(place))


def _argument_problem(word: str) -> str:
    """Return why Linux would reject an argument; empty if it would not."""
    if "\0" in word:
        return "it contains a zero character, which an argument must not"
    try:
        size = len(word.encode())
    except UnicodeEncodeError:
        return "it contains a lone surrogate"
    return f"it has {size} bytes; the limit is {_ARGUMENT_BYTES}" if size > _ARGUMENT_BYTES else ""


def is_same_model(requested: str, ran: str) -> bool:
    """Whether a model's name, from the CLI or the API, is that of the requested model."""
    requested, ran = (name.removesuffix(LONG_CONTEXT).casefold() for name in (requested, ran))
    if requested in CLAUDE_CODE:
        # Only the CLI resolves an alias; the kind is part of the name.
        return requested in ("default", "best", "opusplan") or requested in ran.split("-")
    rest = ran.removeprefix(requested)
    # The API answers with the model's dated name.
    return ran == requested or (
        rest != ran and rest[:1] in "-@" and rest[1:].isdigit() and len(rest) == len("-20260101")
    )


def _environment(settings: ClaudeCodeSettings, place: Place) -> dict[str, str]:
    env = {**_SWITCHES, "HOME": place.home, "TMPDIR": place.tmp}
    if settings.model.removesuffix(LONG_CONTEXT) not in CLAUDE_CODE:
        env |= dict.fromkeys(_MODEL_NAMES, settings.model)
    if place.base_url is not None:
        env["ANTHROPIC_BASE_URL"] = place.base_url
        env["CLAUDE_CODE_API_KEY_HELPER_TTL_MS"] = str(_KEY_SECONDS * 1000)
    if place.ca_file is not None:
        env["NODE_EXTRA_CA_CERTS"] = place.ca_file
    return env


def _unset(place: Place) -> frozenset[str]:
    return _OTHER_SESSION | (_ELSEWHERE if place.base_url is not None else frozenset())


def _settings(place: Place) -> str:
    # Without it, the CLI checks each page with api.anthropic.com before it reads it.
    settings: dict[str, Any] = {"skipWebFetchPreflight": True}
    if place.base_url is not None and place.token_file is not None:
        settings["apiKeyHelper"] = f"cat {shlex.quote(place.token_file)}"
    return json.dumps(settings)


def _rules(given: Mapping[str, Any], name: str) -> tuple[str, ...]:
    rules = tuple(given.get(name) or ())
    if flag := next((rule for rule in rules if rule.startswith("-")), None):
        raise config_invalid(
            f"agent.claudeCode.{name}: {flag!r} is not a rule for tools; a rule begins with a tool's name"
        )
    return rules


def _servers(config: str) -> dict[str, Mapping[str, Any]]:
    """The servers of a configuration. The CLI silently ignores invalid ones."""
    where = "agent.claudeCode.mcpConfig"
    try:
        servers = json.loads(config)["mcpServers"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise config_invalid(f'{where} must be JSON of the form {{"mcpServers": {{"<name>": …}}}}') from None
    if not isinstance(servers, dict):
        raise config_invalid(f"{where}: mcpServers must be an object, with one entry for each server")
    for name, server in servers.items():
        known = isinstance(server, dict)
        command, url = (server.get("command"), server.get("url")) if known else (None, None)
        kind = server.get("type") if known else None
        is_process = isinstance(command, str) and command and kind in (None, "stdio")
        is_remote = isinstance(url, str) and url and kind in _TRANSPORTS
        if not (is_process or is_remote):
            raise config_invalid(f"{where}: server {name[:63]!r} needs a command, or a url with type http or sse")
    return servers


def _schema(spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema for the CLI: it must be of an object, since the answer is the input of a tool."""
    schema = (spec.get("output") or {}).get("schema")
    if schema is None:
        return None
    kind = schema.get("type", "object")
    if kind != "object" and not (isinstance(kind, list) and "object" in kind):
        raise config_invalid(f"output.schema: Claude Code answers with a JSON object; the schema has type {kind!r}")
    # Its validator does not know other drafts by address, and would reject the schema.
    return {**{name: value for name, value in schema.items() if name != "$schema"}, "type": "object"}
