"""The page of the installation: its problems, then its processes. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agentjobs.api.recorded_models import ModelsOverview
from agentjobs.api.recorded_overview import Installation, Process
from agentjobs.dashboard.views.models import Key, models_view
from agentjobs.dashboard.views.states import State, Tone, counted, listed

KINDS: Final = ("operator", "gateway", "proxy", "dashboard")
NAMES: Final = {"operator": "Operators", "gateway": "Gateways", "proxy": "Model proxies", "dashboard": "Dashboards"}
_SKEW_SECONDS: Final = 2.0
"""Clocks that differ by more are reported; leases and backoffs take seconds."""
_MEGABYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Wrong:
    """A problem and its effect."""

    tone: str
    """`bad` where jobs are affected now, else `warn`."""
    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """The processes of one kind."""

    kind: str
    name: str
    state: State
    processes: Sequence[Process]
    mixed: bool
    """Whether they have different versions."""


@dataclass(frozen=True, slots=True)
class InstallationView:
    """An installation."""

    wrong: Sequence[Wrong]
    groups: Sequence[Group]
    providers: Sequence[tuple[str, State]]
    """Providers of models, and whether their keys are open."""
    database: Sequence[tuple[str, str]]
    has_proxy: bool
    """Whether a model proxy was seen."""


def installation_view(seen: Installation, models: ModelsOverview, now: datetime) -> InstallationView:
    """Return what the page shows."""
    models_seen = models_view(models, now)
    return InstallationView(
        wrong=[*_wrong(seen), *(Wrong("warn", words) for words in models_seen.troubles)],
        groups=[_group(kind, [process for process in seen.processes if process.kind == kind]) for kind in KINDS],
        providers=[(provider.name, _health(provider.keys)) for provider in models_seen.providers],
        database=[
            ("Version", f"PostgreSQL {seen.database_version}"),
            ("Schema", seen.schema_version),
            ("Size", size(seen.database_bytes)),
            ("Jobs in history", f"about {seen.jobs:,}"),
            ("Clock", _skew(seen.clock_skew_seconds)),
        ],
        has_proxy=any(process.kind == "proxy" for process in seen.processes),
    )


def size(count: int) -> str:
    """Return bytes as people read them: `312 MiB`."""
    if count < _MEGABYTE:
        return f"{count / 1024:,.0f} KiB"
    return f"{count / _MEGABYTE:,.0f} MiB" if count < 1024 * _MEGABYTE else f"{count / 1024 / _MEGABYTE:,.1f} GiB"


def _wrong(seen: Installation) -> Iterable[Wrong]:
    kinds = {kind: [process for process in seen.processes if process.kind == kind] for kind in KINDS}
    leaders = [process for process in kinds["operator"] if process.leads]
    if not kinds["operator"]:
        yield Wrong(
            "bad", "No operator was seen in the last minute: jobs do not start, and ended jobs are not noticed."
        )
    elif not leaders:
        yield Wrong("bad", "No operator leads: jobs do not start until one has the Lease.")
    elif len(leaders) > 1:
        names = listed([process.id for process in leaders])
        yield Wrong(
            "warn", f"More than one operator reports that it leads: {names}. One of them should stop within seconds."
        )
    if not kinds["gateway"]:
        yield Wrong("bad", "No gateway was seen in the last minute: runners cannot report, so jobs wait.")
    if not kinds["proxy"]:
        text = "No model proxy was seen in the last minute. Model calls through the proxy fail."
        yield Wrong("warn", text)
    versions = sorted({process.version for process in seen.processes})
    if len(versions) > 1:
        text = f"Versions {listed(versions)} run at the same time. This is normal only during an upgrade."
        yield Wrong("warn", text)
    if abs(seen.clock_skew_seconds) > _SKEW_SECONDS:
        yield Wrong(
            "warn", f"The clocks differ: {_skew(seen.clock_skew_seconds)}. Times on these pages differ by that much."
        )


def _skew(seconds: float) -> str:
    if abs(seconds) < 1:
        return "within a second of this process"
    return f"{abs(seconds):,.0f} s {'ahead of' if seconds > 0 else 'behind'} this process"


def _health(keys: Sequence[Key]) -> State:
    closed = [key for key in keys if key.state.word == "Closed"]
    if not keys:
        return State("No key", "bad", "Its models cannot be called.")
    if not closed:
        return State("Open", "ok", f"{counted(len(keys), 'key')} in use.")
    tone: Tone = "bad" if len(closed) == len(keys) else "warn"
    return State("Closed", tone, f"{len(closed)} of {counted(len(keys), 'key')} closed: {closed[0].state.text}")


def _group(kind: str, processes: Sequence[Process]) -> Group:
    mixed = len({process.version for process in processes}) > 1
    ordered = sorted(processes, key=lambda process: (not process.leads, process.id))
    return Group(kind, NAMES[kind], _state(kind, processes), ordered, mixed)


def _state(kind: str, processes: Sequence[Process]) -> State:
    if not processes:
        return State(
            "None seen", "dim" if kind in ("proxy", "dashboard") else "bad", "None was seen in the last minute."
        )
    if kind != "operator":
        return State("Running", "ok", f"{counted(len(processes), 'process', 'processes')} seen in the last minute.")
    standbys = sum(not process.leads for process in processes)
    others = counted(standbys, "standby", "standbys") if standbys else "no standby"
    if standbys == len(processes):
        return State("No leader", "bad", "No operator leads.")
    return State("Leads", "ok", f"One leader, {others}.")
