"""The programs of the product on a development cluster, with their variables."""

import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from agentjobs import rbac
from agentjobs.contract import ENV_CLAUDE
from agentjobs.dev.parts import Part
from agentjobs.dev.shared import Place
from devcluster.ports import free_port
from devcluster.process import Forks

# Variables with keys and addresses of providers. Only the model proxy gets them.
PROVIDER_VARIABLES = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_LOCATION",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_GEMINI_BASE_URL",
    "GOOGLE_GENAI_USE_ENTERPRISE",
    "GOOGLE_GENAI_USE_VERTEXAI",
    "GOOGLE_VERTEX_BASE_URL",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
)
MODELS_FILE: Final = "AGENTJOBS_MODELS_FILE"
_PROXY_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy", "SSL_CERT_FILE")


_MODULE: Final = "agentjobs.cli"


def handed_to_models(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment's variables about models, for the model proxy and no pod.

    These are the models file, else the providers' keys and addresses, which are ignored if there is a file.
    """
    if file := environ.get(MODELS_FILE):
        return {MODELS_FILE: str(Path(file).expanduser().absolute())}
    return {name: environ[name] for name in PROVIDER_VARIABLES if environ.get(name)}


def handed_to_pods(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment's variables for runner pods: settings of an HTTP proxy, and Claude Code's path.

    Without the path, Claude Code is `claude` in PATH, which pods inherit, like `git`.
    """
    found = {name: environ[name] for name in _PROXY_VARIABLES if environ.get(name)}
    if claude := environ.get(ENV_CLAUDE):
        found[ENV_CLAUDE] = str(Path(claude).expanduser().absolute()) if "/" in claude else claude
    return found


@dataclass(frozen=True, slots=True)
class Programs:
    """Arguments of all programs of one cluster."""

    folder: Path
    place: Place
    settings: Mapping[str, str]
    providers: Mapping[str, str]
    """Only for the model proxy, which runs in the gateway's process."""
    operator_command: Sequence[str]
    """Empty for `agentjobs operator`."""
    sinks: Path | None
    triggers: Path | None
    dashboard: bool = False
    forks: Forks | None = None
    """Starts the programs that it takes, instead of exec."""

    @property
    def accounts(self) -> Sequence[rbac.Part]:
        """Namespaces with service accounts."""
        more: list[rbac.Part] = ["notifier"] if self.sinks else []
        more += ["dashboard"] if self.dashboard else []
        return ("operator", "gateway", *more)

    @property
    def links(self) -> Path:
        """Folder of the single-use sign-in links."""
        return self.folder / "sign-in"

    def credentials(self, part: rbac.Part) -> Path:
        """Return the kubeconfig of a service account."""
        return self.folder / f"{part}.kubeconfig"

    def trigger_roles(self) -> list[dict[str, Any]]:
        """Return the namespaces with triggers, and the gateway's permission to create jobs there."""
        if self.triggers is None:
            return []
        from agentjobs.gateway.triggers.file import read  # most clusters have no such file

        namespaces = {entry.namespace for entry in read(self.triggers)}
        if self.place.shared:  # objects in other namespaces would remain
            namespaces &= {self.place.namespace}
        made = [rbac.trigger_objects(namespace=name, account=self.place.system) for name in sorted(namespaces)]
        missing = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(namespaces)]
        return [*missing, *(obj for objects in made for obj in objects)]

    def parts(
        self,
        dsn: str,
        gateway_url: str,
        gateway_tls: Mapping[str, str],
        probes: Sequence[str],
        dashboard_url: str | None,
    ) -> dict[str, Part]:
        """Return the programs by name, not started; one operator for each address of `probes`."""
        models_url = f"https://127.0.0.1:{free_port()}"
        env = self._variables(dsn, gateway_url, models_url)
        parts = [self._gateway(env | dict(gateway_tls), models_url)]
        for number, address in enumerate(probes, start=1):
            parts.append(self._operator("operator" if number == 1 else f"operator-{number}", env, address))
        if self.sinks is not None:
            parts.append(self._notifier(env, self.sinks))
        if dashboard_url is not None:
            parts.append(self._dashboard(env, dashboard_url))
        return {part.name: part for part in parts}

    def _variables(self, dsn: str, gateway_url: str, models_url: str) -> dict[str, str]:
        dropped = {*PROVIDER_VARIABLES, MODELS_FILE, "AGENTJOBS_GATEWAY_CA"}
        env = {key: value for key, value in os.environ.items() if key not in dropped}
        return (
            env
            | {
                "AGENTJOBS_DATABASE_URL": dsn,
                "AGENTJOBS_GATEWAY_URL": gateway_url,
                "AGENTJOBS_GATEWAY_EGRESS": _egress(gateway_url),
                "AGENTJOBS_MODELS_URL": models_url,
                "AGENTJOBS_MODELS_EGRESS": _egress(models_url),
                "AGENTJOBS_LEASE_NAMESPACE": self.place.system,
                "AGENTJOBS_LOG_FORMAT": "text",
            }
            | self.place.settings
        )

    def _gateway(self, env: Mapping[str, str], models_url: str) -> Part:
        own = {**env, "AGENTJOBS_KUBECONFIG": str(self.credentials("gateway"))}
        own |= {} if self.triggers is None else {"AGENTJOBS_TRIGGERS_FILE": str(self.triggers)}
        own |= {
            "AGENTJOBS_DRAIN": "2s",
            **self.providers,
            **self.settings,
        }  # well within the time limit for ending a part
        models = ["--models", "--models-port", str(urlsplit(models_url).port)]
        return Part("gateway", [*_command("gateway"), *models], env=own, folder=self.folder, forks=self.forks)

    def _operator(self, name: str, env: Mapping[str, str], address: str) -> Part:
        own = {**env, "AGENTJOBS_KUBECONFIG": str(self.credentials("operator")), **self.settings}
        own["AGENTJOBS_PROBE_ADDRESS"] = address
        own |= {"AGENTJOBS_SINKS": ",".join(_names_of(self.sinks))} if self.sinks else {}
        own |= {MODELS_FILE: self.providers[MODELS_FILE]} if MODELS_FILE in self.providers else {}
        program = self.operator_command or _command("operator")
        return Part(name, program, env=own, folder=self.folder, restarts=True, forks=self.forks)

    def _notifier(self, env: Mapping[str, str], sinks: Path) -> Part:
        own = {
            **env,
            "AGENTJOBS_KUBECONFIG": str(self.credentials("notifier")),
            "AGENTJOBS_PROBE_ADDRESS": "127.0.0.1:0",
        }
        own |= {"AGENTJOBS_SINKS_FILE": str(sinks), **self.settings}
        return Part("notifier", _command("notifier"), env=own, folder=self.folder, forks=self.forks)

    def _dashboard(self, env: Mapping[str, str], url: str) -> Part:
        keys = self.folder / "session-keys"
        if not keys.exists():
            keys.touch(mode=0o600)
            keys.write_text(secrets.token_hex(32))
        own = {
            **env,
            "AGENTJOBS_KUBECONFIG": str(self.credentials("dashboard")),
            "AGENTJOBS_HOST": "127.0.0.1",
            "AGENTJOBS_PORT": str(urlsplit(url).port),
            # Other host names of this machine may belong to others.
            "AGENTJOBS_ALLOWED_HOSTS": "127.0.0.1,localhost",
            "AGENTJOBS_LINKS_FOLDER": str(self.links),
            "AGENTJOBS_SESSION_KEYS_FILE": str(keys),
            **self.settings,
        }
        return Part("dashboard", _command("dashboard"), env=own, folder=self.folder, forks=self.forks)


def _command(process: str) -> list[str]:
    """Return the command of a process. -P: modules in the user's working folder must not shadow others."""
    return [sys.executable, "-P", "-m", _MODULE, process]


def _egress(url: str) -> str:
    """Return the egress rule for one of our servers, for network policies, which the process node does not enforce."""
    address = urlsplit(url)
    block = {"ipBlock": {"cidr": f"{address.hostname}/32"}}
    return json.dumps([{"to": [block], "ports": [{"port": address.port}]}])


def _names_of(sinks: Path) -> list[str]:
    """Return the names in a sinks file; the operator gets nothing else of it."""
    from agentjobs.notifier.sinks import Sinks  # most clusters have no sinks

    return list(Sinks(sinks, {}).by_name)
