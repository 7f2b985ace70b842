"""The banner of `agentjobs dev`: addresses, and the next commands. Fits 80 columns. Pure."""

import getpass
import os
import shlex
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from agentjobs.dev.programs import MODELS_FILE, PROVIDER_VARIABLES
from agentjobs.dev.up import DevCluster

_KINDS: Final = {
    "embedded": "embedded, Kubernetes-compatible, in memory",
    "envtest": "real kube-apiserver and etcd",
    "kubeconfig": "an existing cluster",
}
_WIDTH: Final = 80
_COLUMN: Final = 15


def welcome(
    cluster: DevCluster,
    providers: Mapping[str, str],
    *,
    absent: str,
    sinks: Path | None = None,
    triggers: Path | None = None,
) -> str:
    """Return the banner.

    Args:
        providers: variables of the model proxy; prints their names, and the path of a models file.
        absent: features that the cluster's API server does not have.
        sinks: the sinks file, if there is one.
        triggers: the triggers file, if there is one.
    """
    parts = {
        "API server": f"{cluster.url} ({_KINDS[cluster.backend]})",
        "dashboard": cluster.dashboard_url or "",
        "gateway": cluster.gateway_url,
        "operator": f"{cluster.operator_url}/metrics",
        "PostgreSQL": f"kept in {cluster.postgres.place}",
        "pods": f"processes of {_user()} on this machine: NO SANDBOX, no images, no resource limits",
        "models": _models(providers),
        "sinks": f"from {sinks}" if sinks else "",
        "triggers": f"from {triggers}; certificate {cluster.folder}/gateway-ca.crt" if triggers else "",
        "logs": f"{cluster.folder}/*.log",
    }
    rows = "\n".join(_line(name, what) for name, what in parts.items() if what)
    typed = "\n".join(f"  {line}" for line in next_lines(cluster.kubeconfig, here=Path.cwd(), prefix=Path(sys.prefix)))
    unserved = "\n".join(textwrap.fill(line, _WIDTH) for line in absent.splitlines())
    return f"""\
AgentJobs for development, ready in {cluster.phases["ready"]:.1f} s. Not for production.

{rows}

{_entrance(cluster)}Next, in another terminal:

{typed}

{unserved}
Ctrl-C stops everything."""


def _entrance(cluster: DevCluster) -> str:
    if cluster.dashboard_url is None:
        return ""
    return f"Open the dashboard; this link signs you in once, within ten minutes:\n\n  {cluster.sign_in_link()}\n\n"


def _models(providers: Mapping[str, str]) -> str:
    if MODELS_FILE in providers:
        return f"from {providers[MODELS_FILE]}; keys in the environment are ignored"
    handed = ", ".join(name for name in PROVIDER_VARIABLES if name in providers)
    if handed:
        return f"called with {handed}, which no pod gets"
    return "no key is set; real models need one: GOOGLE_API_KEY=…"


def next_lines(kubeconfig: Path, *, here: Path, prefix: Path) -> Iterator[str]:
    """Yield commands for a new terminal in the folder `here`."""
    activate = prefix / "bin" / "activate"
    if activate.is_file():
        yield f". {_short(activate, here)}"
    yield f"export KUBECONFIG={shlex.quote(str(kubeconfig))}"
    places = (here / "examples", Path(__file__).parents[3] / "examples")
    hello = next((place / "hello.yaml" for place in places if (place / "hello.yaml").is_file()), None)
    if hello is None:
        yield "agentjobs --help"
        return
    yield f"agentjobs run -f {_short(hello, here)}"
    yield "agentjobs show hello"
    yield "kubectl get agentjobs -w      # or: agentjobs get -w"


def _short(path: Path, here: Path) -> str:
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _line(name: str, what: str) -> str:
    indent = " " * _COLUMN
    return textwrap.fill(
        what,
        _WIDTH,
        initial_indent=f"  {name}".ljust(_COLUMN),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,  # paths have hyphens
    )


def _user() -> str:
    with suppress(KeyError, OSError):
        return f"user {getpass.getuser()}"
    return f"user {os.getuid()}"
