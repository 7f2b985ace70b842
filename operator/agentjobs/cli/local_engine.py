"""What runs the agent of `run --local`, and whether this machine has it."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from agentjobs import contract
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.cli.failures import USAGE, Failure, installs
from agentjobs.cli.printing import show

MODULE: Final = "agentjobs_runner"
EXTRA: Final = "runner"
CLAUDE: Final = "claude"
_KEYS: Final = (
    *("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
    *("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY"),
)
_NPM: Final = "npm install -g @anthropic-ai/claude-code"


def engine_of(spec: AgentJobSpec, environ: Mapping[str, str], *, has_folder: bool) -> str:
    """Return the engine of a job.

    Args:
        environ: our environment: where programs are.
        has_folder: whether the command line says in which folder the agent works.

    Raises:
        Failure: it is not installed, or the job needs what only a cluster has.
    """
    if spec.agent.container is not None:
        cure = "a cluster runs it; `agentjobs conformance` tries a program on this machine"
        raise Failure(f"agent.container runs in an image of its own: {cure}.", code=USAGE)
    if spec.workspace is not None and not has_folder:
        cure = "with --local say which folder the agent works in: --working-dir FOLDER"
        raise Failure(f"workspace is checked out by a cluster; {cure}.", code=USAGE)
    if spec.workspace is not None and spec.workspace.publishes:
        show("nothing is published: a cluster does that", error=True)
    _check_module(MODULE)
    if spec.agent.claude_code is None:
        _check_module("google.adk")
        return contract.ENGINE_ADK
    _check_claude(environ)
    if spec.agent.claude_code.permission_mode == "BypassPermissions":
        show("nothing isolates a local run: with BypassPermissions it may do whatever you may", error=True)
    return contract.ENGINE_CLAUDE_CODE


def login_of(variables: Mapping[str, str]) -> dict[str, str]:
    """Return what lets Claude Code ask by the login of who types; nothing where the environment has a key for it."""
    home = variables.get("HOME")
    if not home or any(variables.get(name) for name in _KEYS):
        return {}
    return {contract.ENV_CLAUDE_HOME: home}


def _check_module(module: str) -> None:
    from importlib.util import find_spec

    found = None
    with suppress(ModuleNotFoundError):  # of the package above it
        found = find_spec(module)
    if found is None:
        raise Failure(f"--local needs {module}, which is not installed. Type: {installs(EXTRA)}", code=USAGE)


def _check_claude(environ: Mapping[str, str]) -> None:
    named = environ.get(contract.ENV_CLAUDE)
    if shutil.which(named or CLAUDE, path=environ.get("PATH")) is None:
        where = f"{contract.ENV_CLAUDE} names {named}, which is no program" if named else f"PATH has no {CLAUDE}"
        cure = f"type: {_NPM}, or set {contract.ENV_CLAUDE} to its path"
        raise Failure(f"Claude Code is not installed: {where}; {cure}", code=USAGE)
