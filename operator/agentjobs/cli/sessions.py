"""Verbs on sessions and artifacts, which outlive jobs: list, show, delete; list, get."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import typer

from agentjobs.cli.failures import USAGE, Failure
from agentjobs.cli.grammar import Program, Verbs
from agentjobs.cli.history_text import call_words, moment
from agentjobs.cli.options import (
    Context,
    GatewayCA,
    GatewayURL,
    Kubeconfig,
    Namespace,
    checked,
    global_flags,
    output,
    talking,
)
from agentjobs.cli.printing import NARROW, age, as_json, counted, facts, formatted, harmless, show, table

if TYPE_CHECKING:
    from agentjobs.api.recorded_sessions import Deleted, RecordedSession, SessionEvent, SessionHistory
    from agentjobs.cli.options import Talk
    from agentjobs.client.session_operations import SessionOperations

_UNITS: Final = ("B", "KiB", "MiB", "GiB")


class _Verbs(Verbs):
    """Verbs below `sessions` and `artifacts`."""

    synonyms: ClassVar[Mapping[str, str]] = {"ls": "list", "describe": "show"}


sessions = Program(cls=_Verbs, help="Work with sessions, also of deleted jobs.")
artifacts = Program(cls=_Verbs, help="Work with the files that agents saved.")
for group in (sessions, artifacts):
    group.callback()(global_flags)


def register(root: typer.Typer) -> None:
    """Add this module's verbs."""
    root.add_typer(sessions, name="sessions")
    root.add_typer(artifacts, name="artifacts")


def complete_sessions(context: typer.Context, incomplete: str) -> list[str]:
    """Return session ids for shell completion; nothing on an error."""
    given = context.params
    wanted = {"kubeconfig": given.get("kubeconfig"), "context": given.get("context")}
    try:
        with _opened(**wanted, namespace=given.get("namespace")) as (talk, do):
            chosen = {"app": given.get("app") or "", "user": given.get("user") or ""}
            return [item.session for item in talk.iterate(do.list(**chosen)) if item.session.startswith(incomplete)]
    except Exception:  # a shell cannot show an error during completion
        return []


Id = Annotated[str, typer.Argument(help="Id of the session.", metavar="SESSION", autocompletion=complete_sessions)]
App = Annotated[str | None, typer.Option("--app", metavar="NAME", help="Only sessions of this app.")]
User = Annotated[str | None, typer.Option("--user", metavar="ID", help="Only sessions of this user.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before deleting.")]


@sessions.command("list")
def list_(
    app: App = None,
    user: User = None,
    format_: Annotated[str | None, output("json", "yaml", "name", "wide")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """List the sessions of a namespace, last used first.

    Examples:
        agentjobs sessions list
        agentjobs sessions list --user ann --app shop -o wide
    """
    checked(format_, "json", "yaml", "name", "wide")
    where = {"kubeconfig": kubeconfig, "context": context, "namespace": namespace}
    with _opened(**where, gateway=gateway, gateway_ca=gateway_ca) as (talk, do):
        found = list(talk.iterate(do.list(app=app or "", user=user or "")))
    if format_ in {"json", "yaml"}:
        show(formatted([_document(item) for item in found], format_))
    elif format_ == "name":
        for item in found:
            show(harmless(item.session))
    elif found:
        show(_sessions_table(found, wide=format_ == "wide"))
    else:
        show(f"No matching sessions in namespace {do.namespace}.", error=True)


@sessions.command("show")
def show_(
    session: Id,
    app: App = None,
    user: User = None,
    events: Annotated[bool, typer.Option("--events", help="Also show each event.")] = False,
    format_: Annotated[str | None, output("json", "yaml")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Show a session: its turns and its state.

    The state is the one that its next job will begin with.

    Examples:
        agentjobs sessions show support-4711
        agentjobs sessions show support-4711 --user ann --events
        agentjobs sessions show support-4711 -o json
    """
    checked(format_, "json", "yaml")
    where = {"kubeconfig": kubeconfig, "context": context, "namespace": namespace}
    with _opened(**where, gateway=gateway, gateway_ca=gateway_ca) as (talk, do):
        found = talk.run(do.find(session, app=app or "", user=user or ""))
        history = talk.run(do.history(found))
        recorded = list(talk.iterate(do.events(found))) if events else []
    if format_:
        more = {"events": [_document(event) for event in recorded]} if events else {}
        show(formatted(_document(history) | more, format_))
        return
    parts = [_head(history), _turns_table(history), _states(history), *([event_lines(recorded)] if events else [])]
    show("\n\n".join(part for part in parts if part))


@sessions.command()
def delete(
    ids: Annotated[
        list[str] | None,
        typer.Argument(help="Ids of sessions.", metavar="[SESSION...]", autocompletion=complete_sessions),
    ] = None,
    app: App = None,
    user: User = None,
    all_: Annotated[
        bool, typer.Option("--all", help="All data of --user: sessions, artifacts, state and memory.")
    ] = False,
    yes: Yes = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Delete sessions, or all data of a user.

    Deletes a session with its turns, artifacts and memory. With --user and --all it deletes all data of this user, in
    one app or in all. A running job stores its turn when it succeeds: cancel it first. The history of jobs keeps its
    own records for its own retention time.

    Examples:
        agentjobs sessions delete support-4711
        agentjobs sessions delete support-4711 --user ann --yes
        agentjobs sessions delete --user ann --all
    """
    if all_ is bool(ids) or (all_ and not user):
        raise Failure("give session ids, or --user and --all to delete all data of one user.", code=USAGE)
    where = {"kubeconfig": kubeconfig, "context": context, "namespace": namespace}
    with _opened(**where, gateway=gateway, gateway_ca=gateway_ca) as (talk, do):
        if all_:
            place = f"app {app}" if app else "all apps"
            _confirm(f"Delete all data of user {user} in {place} of namespace {do.namespace}?", yes=yes)
            _show_deleted(user or "", talk.run(do.delete_user(user or "", app=app)))
            return
        found = [talk.run(do.find(id_, app=app or "", user=user or "")) for id_ in ids or ()]
        names = ", ".join(f"{item.session} of user {item.user}" for item in found)
        _confirm(f"Delete {counted(len(found), 'session')} in namespace {do.namespace}: {names}?", yes=yes)
        for item in found:
            _show_deleted(item.session, talk.run(do.delete_session(item)))


@artifacts.command("list")
def list_artifacts(
    session: Id,
    app: App = None,
    user: User = None,
    format_: Annotated[str | None, output("json", "yaml", "name")] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """List the artifacts of a session.

    Includes artifacts of its user, with all versions. Names that begin with `user:` belong to the user, in all sessions
    of the app.

    Examples:
        agentjobs artifacts list support-4711
        agentjobs artifacts list support-4711 --user ann -o json
    """
    checked(format_, "json", "yaml", "name")
    where = {"kubeconfig": kubeconfig, "context": context, "namespace": namespace}
    with _opened(**where, gateway=gateway, gateway_ca=gateway_ca) as (talk, do):
        found = list(talk.iterate(do.artifacts(talk.run(do.find(session, app=app or "", user=user or "")))))
    if format_ in {"json", "yaml"}:
        show(formatted([_document(item) for item in found], format_))
    elif format_ == "name":
        for name in dict.fromkeys(item.name for item in found):
            show(harmless(name))
    elif found:
        show(_artifacts_table([_document(item) for item in found]))
    else:
        show(f"Session {session} has no artifacts.", error=True)


@artifacts.command()
def get(
    session: Id,
    name: Annotated[str, typer.Argument(help="Name of the artifact.", metavar="NAME")],
    version: Annotated[
        int | None, typer.Option("--version", metavar="NUMBER", min=0, help="Version; by default the newest.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="FILE", help="Output file; by default standard output.")
    ] = None,
    app: App = None,
    user: User = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    gateway: GatewayURL = None,
    gateway_ca: GatewayCA = None,
) -> None:
    """Print an artifact, or write it to a file.

    The artifact's name is never used as a path: use --to.

    Examples:
        agentjobs artifacts get support-4711 report.pdf --to report.pdf
        agentjobs artifacts get support-4711 user:notes.txt --version 0
    """
    where = {"kubeconfig": kubeconfig, "context": context, "namespace": namespace}
    with _opened(**where, gateway=gateway, gateway_ca=gateway_ca) as (talk, do):
        content = talk.run(do.artifact(talk.run(do.find(session, app=app or "", user=user or "")), name, version))
    if to:
        Path(to).write_bytes(content)
        return
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        show(harmless(content.decode()))
    except UnicodeDecodeError:
        raise Failure(f"{name} is not text; use --to FILE.", code=USAGE) from None


@contextmanager
def _opened(
    *,
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    gateway: str | None = None,
    gateway_ca: str | None = None,
) -> Iterator[tuple["Talk", "SessionOperations"]]:
    from agentjobs.client.session_operations import SessionOperations

    with talking(kubeconfig=kubeconfig, context=context, namespace=namespace, url=gateway, ca=gateway_ca) as talk:
        yield talk, SessionOperations(talk.do.namespace, talk.do.retry_for)


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failure(f"{question} No terminal to answer on: use --yes.", code=USAGE)
    if not typer.confirm(harmless(question)):
        raise typer.Exit(1)


def _show_deleted(what: str, deleted: "Deleted") -> None:
    parts = {"session": deleted.sessions, "turn": deleted.turns, "artifact": deleted.artifacts, "key": deleted.states}
    counts = ", ".join(counted(count, thing) for thing, count in parts.items() if count)
    show(f"{harmless(what)} deleted: {counts or 'no data'}" + (" of state" if deleted.states else ""))


def _document(model: Any) -> dict[str, Any]:
    document: dict[str, Any] = model.model_dump(mode="json", by_alias=True)
    return document


def _sessions_table(found: Sequence["RecordedSession"], *, wide: bool) -> str:
    now = datetime.now(UTC)
    rows = [
        [
            item.session,
            item.app,
            item.user,
            item.turns,
            item.events,
            item.artifacts,
            _size(item.bytes + item.artifact_bytes),
            age(item.used.isoformat(), now=now),
            *([age(item.created.isoformat(), now=now)] if wide else []),
        ]
        for item in found
    ]
    columns = ["SESSION", "APP", "USER", "TURNS", "EVENTS", "ARTIFACTS", "SIZE", "USED"]
    return table([*columns, *(["AGE"] if wide else [])], rows, gap=NARROW)


def _head(history: "SessionHistory") -> str:
    session = history.session
    return facts(
        {
            "Session": session.session,
            "App": session.app,
            "User": session.user,
            "Created": f"{moment(session.created.isoformat())} UTC",
            "Used": f"{moment(session.used.isoformat())} UTC",
            "Turns": f"{session.turns} with {counted(session.events, 'event')}, {_size(session.bytes)}",
            "Artifacts": f"{counted(session.artifacts, 'version')}, {_size(session.artifact_bytes)}"
            if session.artifacts
            else "",
        }
    )


def _turns_table(history: "SessionHistory") -> str:
    rows = [[turn.number, turn.job, turn.mode, turn.events, moment(turn.stored.isoformat())] for turn in history.turns]
    return table(["TURN", "JOB", "MODE", "EVENTS", "STORED (UTC)"], rows, gap=NARROW) if rows else ""


def _states(history: "SessionHistory") -> str:
    kinds = {"State": history.state, "State of the user": history.user_state, "State of the app": history.app_state}
    return "\n\n".join(f"{name}:\n{harmless(as_json(state))}" for name, state in kinds.items() if state)


def event_lines(events: Sequence["SessionEvent"]) -> str:
    """Return the events of a session, one per line: texts, calls and results."""
    lines = []
    for event in events:
        author = event.event.get("author")
        lines.append(
            f"{event.turn}.{event.n} {harmless(str(author))}: {harmless(' '.join(_event_text(event.event).split()))}"
        )
    return "\n".join(lines)


def _event_text(event: Mapping[str, Any]) -> str:
    content = event.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return " ".join(_part(part) for part in parts if isinstance(part, dict)) if isinstance(parts, list) else ""


def _part(part: Mapping[str, Any]) -> str:
    if part.get("text"):
        return str(part["text"])
    match part:
        case {"function_call": {"name": str()} as call} | {"functionCall": {"name": str()} as call}:
            return call_words(call)
        case {"function_response": {"name": str(name)} as gave} | {"functionResponse": {"name": str(name)} as gave}:
            return f"{name}: {json.dumps(gave.get('response'), ensure_ascii=False)}"
    return f"({', '.join(str(key) for key, value in part.items() if value is not None)})"


def _artifacts_table(found: Sequence[Mapping[str, Any]]) -> str:
    now = datetime.now(UTC)
    rows = [
        [item["name"], item["version"], item["kind"], item["mime"], _size(item["bytes"]), age(item["stored"], now=now)]
        for item in found
    ]
    return table(["NAME", "VERSION", "KIND", "TYPE", "SIZE", "AGE"], rows, gap=NARROW)


def _size(count: int) -> str:
    amount, unit = float(count), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{count} B" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"
