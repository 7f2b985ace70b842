"""The flags of `run`, and which field of the job each sets. Pure except for reading a schema file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from agentjobs.cli.failures import USAGE, Failure, nearest
from agentjobs.cli.options import new_name

MODES: Final = ("Default", "AcceptEdits", "Plan", "DontAsk", "BypassPermissions")
"""Values of `agent.claudeCode.permissionMode`. Claude Code's own names differ at most in capital letters."""
DEFAULT_MODEL: Final = "sonnet"
"""The names of Claude Code, used where nothing else is set."""


def _modes(incomplete: str) -> list[str]:
    """Return the modes that begin with `incomplete`, for shell completion."""
    return [mode for mode in MODES if mode.casefold().startswith(incomplete.casefold())]


def _models(incomplete: str) -> list[str]:
    """Return Claude Code's names of models for shell completion; other models are accepted, too."""
    return [name for name in ("sonnet", "opus", "haiku") if name.startswith(incomplete)]


Message = Annotated[str | None, typer.Argument(metavar="MESSAGE", help="The message to the agent (input.message).")]
Filename = Annotated[str | None, typer.Option("--filename", "-f", metavar="FILE", help="File with one AgentJob, or -.")]
Model = Annotated[str | None, typer.Option("--model", help="agent.model", autocompletion=_models)]
Instruction = Annotated[str | None, typer.Option("--instruction", help="agent.inline.instruction")]
Tools = Annotated[
    list[str] | None, typer.Option("--tool", metavar="NAME", help="A name of agent.inline.tools; repeatable.")
]
Module = Annotated[
    str | None, typer.Option("--module", metavar="REF", help="agent.module.ref: package.module:attribute")
]
Claude = Annotated[bool, typer.Option("--claude", help="Run Claude Code (agent.claudeCode); MESSAGE is its prompt.")]
PermissionMode = Annotated[
    str | None,
    typer.Option(
        "--permission-mode",
        metavar="MODE",
        help="With --claude: what it may do without asking, such as AcceptEdits.",
        autocompletion=_modes,
    ),
]
MaxTurns = Annotated[int | None, typer.Option("--max-turns", metavar="NUMBER", help="With --claude: budget.maxTurns")]
Schema = Annotated[
    Path | None,
    typer.Option("--schema", metavar="FILE", help="output.schema: JSON Schema of the answer, as JSON or YAML."),
]
WorkingDir = Annotated[
    Path | None,
    typer.Option("--working-dir", metavar="FOLDER", help="Folder the agent works in; implies --local."),
]
GitURL = Annotated[str | None, typer.Option("--git", metavar="URL", help="workspace.git.url")]
GitRef = Annotated[str | None, typer.Option("--ref", metavar="REF", help="workspace.git.ref: branch, tag or commit.")]
GitSecret = Annotated[
    str | None, typer.Option("--git-secret", metavar="NAME", help="workspace.git.secretRef: credentials to clone.")
]
PublishBranch = Annotated[
    str | None, typer.Option("--publish-branch", metavar="BRANCH", help="Push the changes to this branch.")
]
PublishSecret = Annotated[
    str | None,
    typer.Option("--publish-secret", metavar="NAME", help="workspace.publish.secretRef: credentials to push."),
]
State = Annotated[
    list[str] | None, typer.Option("--state", metavar="KEY=VALUE", help="One entry of input.state; repeatable.")
]
AppName = Annotated[str | None, typer.Option("--app-name", help="session.appName")]
UserId = Annotated[str | None, typer.Option("--user-id", help="session.userId")]
SessionId = Annotated[str | None, typer.Option("--session-id", help="session.sessionId")]
Queue = Annotated[str | None, typer.Option("--queue", help="queue")]
Priority = Annotated[int | None, typer.Option("--priority", metavar="0-9", help="priority: 0 is first, 9 is last")]
StartAfter = Annotated[str | None, typer.Option("--start-after", metavar="DURATION", help="startAfter, such as 1h")]
MaxAttempts = Annotated[int | None, typer.Option("--max-attempts", metavar="NUMBER", help="retry.maxAttempts")]
Image = Annotated[str | None, typer.Option("--image", help="runtime.image")]
TTL = Annotated[
    int | None,
    typer.Option(
        "--ttl-seconds-after-finished",
        metavar="SECONDS",
        help="ttlSecondsAfterFinished; by default one day, or the template's.",
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", help="Name of the job; by default a random one.", callback=new_name)
]
Local = Annotated[bool, typer.Option("--local", help="Run one start on this machine, without a cluster.")]
Resume = Annotated[bool, typer.Option("--resume", help="With --local: continue the previous, interrupted run.")]
JournalFile = Annotated[
    Path | None,
    typer.Option(
        "--journal", metavar="FILE", help="With --local: file to record steps in; by default .agentjobs/JOB.sqlite."
    ),
]
Detach = Annotated[bool, typer.Option("--detach", help="Submit, print the job's name, and exit.")]
AsJSON = Annotated[bool, typer.Option("--json", help="Print verdict and result as JSON.")]

_PLAIN: Final[Mapping[str, tuple[str, ...]]] = {
    "template": ("templateRef", "name"),
    "model": ("agent", "model"),
    "instruction": ("agent", "inline", "instruction"),
    "module": ("agent", "module", "ref"),
    "message": ("input", "message"),
    "app_name": ("session", "appName"),
    "user_id": ("session", "userId"),
    "session_id": ("session", "sessionId"),
    "queue": ("queue",),
    "priority": ("priority",),
    "start_after": ("startAfter",),
    "max_attempts": ("retry", "maxAttempts"),
    "image": ("runtime", "image"),
    "ttl": ("ttlSecondsAfterFinished",),
    "max_turns": ("budget", "maxTurns"),
    "git": ("workspace", "git", "url"),
    "ref": ("workspace", "git", "ref"),
    "git_secret": ("workspace", "git", "secretRef", "name"),
    "publish_branch": ("workspace", "publish", "branch"),
    "publish_secret": ("workspace", "publish", "secretRef", "name"),
}
"""Name of a parameter -> the field it sets."""
_SPELT: Final[Mapping[str, str]] = {"--message": "MESSAGE", "--ttl": "--ttl-seconds-after-finished"}
"""Parameters that are spelt differently on a command line."""
_OF_A_CLUSTER: Final = ("git", "ref", "git_secret", "publish_branch", "publish_secret")
"""Flags of a workspace, which a local run does not have."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the job runs."""

    local: bool
    folder: Path | None
    """The folder a local agent works in; None for the current one."""


def place_of(given: Mapping[str, Any]) -> Place:
    """Return where the flags want the job to run.

    Raises:
        Failure: the flags exclude each other.
    """
    folder: Path | None = given["working_dir"]
    local = bool(given["local"] or folder is not None)
    flag = "--local" if given["local"] else "--working-dir"
    if local and given["detach"]:
        raise Failure(f"{flag} runs in this process; leave out --detach.", code=USAGE)
    if folder is not None and not folder.is_dir():
        raise Failure(f"--working-dir={folder} is not a folder.", code=USAGE)
    for name in _OF_A_CLUSTER if local else ():
        if given[name]:
            cure = f"{flag} runs on this machine; leave out one of the two"
            raise Failure(f"--{name.replace('_', '-')} applies to jobs on a cluster, but {cure}.", code=USAGE)
    if not local and (given["resume"] or given["journal"]):
        flag = "--resume" if given["resume"] else "--journal"
        raise Failure(f"{flag} needs --local; a cluster continues jobs by itself.", code=USAGE)
    return Place(local, folder)


def fields_of(given: Mapping[str, Any]) -> dict[tuple[str, ...], Any]:
    """Return the fields that the flags set, by path; None and empty values set nothing.

    Raises:
        Failure: a flag has an invalid value.
    """
    from agentjobs.cli.job_builder import pairs

    fields = {path: given[name] for name, path in _PLAIN.items()}
    fields["parameters",] = pairs(given["parameters"], "--parameter")
    fields["input", "state"] = pairs(given["state"], "--state")
    fields["agent", "inline", "tools"] = [{"name": each} for each in given["tool"] or ()]
    fields["agent", "claudeCode", "permissionMode"] = _mode(given["permission_mode"])
    if given["publish_branch"]:
        fields["workspace", "publish", "mode"] = "Branch"
    if given["schema"] is not None:
        fields["output", "schema"] = _schema(given["schema"])
    fields = {path: value for path, value in fields.items() if value is not None and value not in ([], {})}
    _check(fields)
    return fields


def _check(fields: Mapping[tuple[str, ...], Any]) -> None:
    """Refuse values that no job may have. The rest of the job comes from a file or a template, so it is not checked."""
    from pydantic import ValidationError

    from agentjobs.api.job.spec import AgentJobSpec
    from agentjobs.api.problems import field_name, from_error
    from agentjobs.cli.job_builder import put

    spec: dict[str, Any] = {}
    for path, value in fields.items():
        put(spec, path, value)
    try:
        AgentJobSpec.model_validate(spec)
    except ValidationError as refused:
        flags = {field_name(path): f"--{name.replace('_', '-')}" for name, path in _PLAIN.items()}
        for problem in map(from_error, refused.errors(include_url=False)):
            if not problem.lacking and (flag := flags.get(problem.field)):
                value = problem.value and f"{problem.value} "
                raise Failure(f"{_SPELT.get(flag, flag)}: {value}{problem.message}", code=USAGE) from None


def kind_of(given: Mapping[str, Any]) -> str | None:
    """Return the member of `agent` that a flag selects.

    Raises:
        Failure: flags of several kinds of agent were given.
    """
    if not given["claude"]:
        return None
    for name in ("instruction", "module", "tool"):
        if given[name]:
            cure = "applies to ADK agents; put it into the prompt, or leave out --claude"
            raise Failure(f"--{name} {cure}.", code=USAGE)
    return "claudeCode"


def _mode(text: str | None) -> str | None:
    if text is None:
        return None
    found = next((mode for mode in MODES if mode.casefold() == text.casefold()), None)
    if found is None:
        raise Failure(f"--permission-mode={text} is unknown; {nearest(text, MODES)}", code=USAGE)
    return found


def _schema(file: Path) -> dict[str, Any]:
    from agentjobs.cli.yaml_compat import load

    try:
        documents = load(file.read_text("utf-8"))
    except OSError as error:
        raise Failure(f"--schema={file}: {error.strerror or error}.", code=USAGE) from None
    except (ValueError, RecursionError) as error:
        raise Failure(f"--schema={file} is not valid JSON or YAML: {error}", code=USAGE) from None
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise Failure(f"--schema={file} must contain a JSON Schema, which is an object.", code=USAGE)
    return documents[0]
