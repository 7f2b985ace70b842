"""The engine that runs the agent of `run --local`, and whether it is installed."""

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
        environ: our environment, to find programs.
        has_folder: whether the command line has the agent's working folder.

    Raises:
        Failure: it is not installed, or the job needs a cluster.
    """
    if spec.agent.container is not None:
        cure = "run it on a cluster, or test a program here with `agentjobs conformance`"
        raise Failure(f"agent.container runs in its own image, not with --local: {cure}.", code=USAGE)
    if spec.workspace is not None and not has_folder:
        cure = "with --local, name the agent's folder: --working-dir FOLDER"
        raise Failure(f"workspace needs a cluster; {cure}.", code=USAGE)
    if spec.workspace is not None and spec.workspace.publishes:
        show("nothing will be published: that needs a cluster", error=True)
    _check_module(MODULE)
    if spec.agent.claude_code is None:
        _check_module("google.adk")
        return contract.ENGINE_ADK
    _check_claude(environ)
    if spec.agent.claude_code.permission_mode == "BypassPermissions":
        show("a local run is not isolated: with BypassPermissions it may do anything that you may do", error=True)
    return contract.ENGINE_CLAUDE_CODE


def login_of(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables with which Claude Code uses the login of this user; empty if the environment has a key."""
    home = variables.get("HOME")
    if not home or any(variables.get(name) for name in _KEYS):
        return {}
    return {contract.ENV_CLAUDE_HOME: home}


def _check_module(module: str) -> None:
    from importlib.util import find_spec

    found = None
    with suppress(ModuleNotFoundError):  # its parent package is missing
        found = find_spec(module)
    if found is None:
        raise Failure(f"--local needs {module}, which is not installed. Run: {installs(EXTRA)}", code=USAGE)


def _check_claude(environ: Mapping[str, str]) -> None:
    named = environ.get(contract.ENV_CLAUDE)
    if shutil.which(named or CLAUDE, path=environ.get("PATH")) is None:
        where = f"{contract.ENV_CLAUDE} is {named}, which is not a program" if named else f"{CLAUDE} is not in PATH"
        cure = f"run {_NPM}, or set {contract.ENV_CLAUDE} to its path"
        raise Failure(f"Claude Code is not installed: {where}; {cure}", code=USAGE)
