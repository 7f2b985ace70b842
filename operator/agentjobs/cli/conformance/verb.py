"""The verb that says whether a program keeps the runner contract: conformance."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from agentjobs.cli.failures import FAILURE, USAGE, Failure, installs, nearest
from agentjobs.cli.grammar import Verb
from agentjobs.cli.options import checked, output, seconds_of
from agentjobs.cli.printing import as_json, counted, harmless, show, table

if TYPE_CHECKING:
    from agentjobs.cli.conformance.program import Program
    from agentjobs.cli.conformance.seen import Outcome
    from agentjobs.cli.conformance.situations import Situation, Work
    from agentjobs.contract import Attempt

_COMMAND: Final = "agentjobs.conformance.command"
# Lines of what a program printed that are shown of a situation that it failed.
_LINES: Final = 12
_MOST_AT_ONCE: Final = 32
_NOT_PLAYED: Final = "not played, because success has to pass first"


class _WithCommand(Verb):
    """A verb behind whose `--` a command stands, which is not looked at."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep what stands behind the first `--`."""
        place = args.index("--") if "--" in args else len(args)
        ctx.meta[_COMMAND] = tuple(args[place + 1 :])
        return super().parse_args(ctx, args[:place])


def register(app: typer.Typer) -> None:
    """Add this module's verb."""
    app.command(cls=_WithCommand)(conformance)


def conformance(
    context: typer.Context,
    image: Annotated[
        str | None, typer.Argument(metavar="[IMAGE | -- COMMAND...]", help="An image, or a command of this machine.")
    ] = None,
    filename: Annotated[
        str | None,
        typer.Option("--filename", "-f", metavar="FILE", help="The job it is given; by default it says hello."),
    ] = None,
    busy: Annotated[
        str | None,
        typer.Option("--busy", metavar="FILE", help="A job on which it works for 40 s, where it asks no model."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Only this situation; repeatable.")
    ] = None,
    long: Annotated[bool, typer.Option("--long", help="Also what takes minutes.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Say what is played, and play nothing.")] = False,
    parallel: Annotated[
        int, typer.Option("--parallel", metavar="NUMBER", help="Situations at once, 4 by default.")
    ] = 4,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="How long its own work may take, 1m by default.")
    ] = "1m",
    format_: Annotated[str | None, output("table", "json")] = None,
) -> None:
    """Check that a program keeps the runner contract.

    Runs it once in each situation that a pod may meet, beside a gateway and a model proxy on this machine, and says
    what it did wrong. A command is run as a process, an image by docker or podman as a pod would run it.

    Exits 0 when it did nothing wrong, 1 when it did, 3 when nothing here runs images.

    Examples:
        agentjobs conformance -- node agent.mjs
        agentjobs conformance registry.example.com/team/agent:1
        agentjobs conformance registry.example.com/team/agent:1 -- python -m agent
        agentjobs conformance --only told-to-stop -f job.yaml -- ./agent
        agentjobs conformance --list
    """
    format_ = checked(format_, "table", "json")
    _check_installed()
    from agentjobs.cli.conformance.situations import SITUATIONS

    if list_:
        rows = [(one.name, one.about + (" (with --long)" if one.is_long else "")) for one in SITUATIONS]
        show(as_json(dict(rows)) if format_ == "json" else table(["NAME", "SITUATION"], rows))
        return
    if not 1 <= parallel <= _MOST_AT_ONCE:
        raise Failure(f"--parallel={parallel}: 1 to {_MOST_AT_ONCE}.", code=USAGE)
    limit = seconds_of(timeout) or 3600.0
    wanted = _wanted(SITUATIONS, only, long=long)
    program = _program(image, context.meta[_COMMAND])
    work = _work(filename, busy, limit)
    try:
        outcomes = list(_played(wanted, program, work, parallel))
    except KeyboardInterrupt:
        show("interrupted", error=True)
        raise typer.Exit(130) from None
    show(_as_json(outcomes) if format_ == "json" else _shown(outcomes))
    if any(one.judgement.faults for one in outcomes):
        raise typer.Exit(FAILURE)


def _check_installed() -> None:
    from importlib.util import find_spec

    for module in ("msgspec", "cryptography"):
        if find_spec(module) is None:
            raise Failure(f"conformance needs {module}, which is not installed. Type: {installs('dev')}", code=USAGE)


def _wanted(situations: Sequence["Situation"], only: Sequence[str] | None, *, long: bool) -> "list[Situation]":
    named = {one.name: one for one in situations}
    for name in only or ():
        if name not in named:
            raise Failure(f"--only={name}: there is no such situation; {nearest(name, named)}", code=USAGE)
    if only:
        return [one for one in situations if one.name in only]
    return [one for one in situations if long or not one.is_long]


def _program(image: str | None, command: tuple[str, ...]) -> "Program":
    from agentjobs.cli.conformance import program

    if image is not None:
        return program.image(image, command)
    if not command:
        cure = "give an image, or a command behind `--`: agentjobs conformance -- node agent.mjs"
        raise Failure(f"nothing to check: {cure}.", code=USAGE)
    return program.Command(command)


def _work(filename: str | None, busy: str | None, limit: float) -> "Work":
    from agentjobs.cli.conformance.situations import Work
    from agentjobs.contract import ENGINE_ADK, ENGINE_CLAUDE_CODE

    plain = _attempt(filename)
    agent = plain["resolved"]["spec"].get("agent") or {}
    engine = ENGINE_CLAUDE_CODE if agent.get("claudeCode") else ENGINE_ADK
    return Work(
        plain,
        _attempt(busy) if busy else None,
        engine="" if agent.get("container") is not None else engine,
        limit=limit,
    )


def _attempt(file: str | None) -> "Attempt":
    """Return the attempt of the job in a file, or of one that says hello."""
    from agentjobs.cli.job_builder import Work
    from agentjobs.cli.local import accepted
    from agentjobs.cli.manifests import read
    from agentjobs.contract import GROUP, VERSION

    if file is None:
        agent = {"model": "openai/conformance", "container": {}}
        spec = {"agent": agent, "runtime": {"image": "conformance"}, "input": {"message": "Say hello."}}
        job = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "AgentJob", "metadata": {"name": "hello"}, "spec": spec}
        return accepted(Work(job))
    bodies = [manifest.body for manifest in read([file], generated=True)]
    jobs = [body for body in bodies if body["kind"] == "AgentJob"]
    if len(jobs) != 1:
        raise Failure(f"{file} holds {counted(len(jobs), 'AgentJob')}; one is needed.", code=USAGE)
    return accepted(Work(jobs[0], [body for body in bodies if body is not jobs[0]]))


def _played(wanted: "Sequence[Situation]", program: "Program", work: "Work", parallel: int) -> "Iterator[Outcome]":
    """Play the situations, some at once, and yield what came of them in their order.

    What fails where nothing goes wrong is not tried where something does: it would fail in the same way.
    """
    from agentjobs.cli.conformance.seen import Judgement, Outcome

    stopping = threading.Event()
    first, rest = list(wanted[:1]), list(wanted[1:])
    if first and first[0].name != "success":
        first, rest = [], list(wanted)
    with ThreadPoolExecutor(parallel) as pool:
        try:
            for one in first:
                outcome = pool.submit(_outcome, one, program, work, stopping).result()
                yield outcome
                if outcome.judgement.faults:
                    yield from (Outcome(other.name, other.about, Judgement(skipped=_NOT_PLAYED)) for other in rest)
                    return
            yield from pool.map(lambda one: _outcome(one, program, work, stopping), rest)
        finally:
            stopping.set()


def _outcome(situation: "Situation", program: "Program", work: "Work", stopping: threading.Event) -> "Outcome":
    from agentjobs.cli.conformance.player import play
    from agentjobs.cli.conformance.seen import Judgement, Outcome

    told = Outcome(situation.name, situation.about, Judgement())
    if situation.needs_schema and not (work.plain["resolved"]["spec"].get("output") or {}).get("schema"):
        why = "the job has no output.schema. Give one that has with -f, if the program gives structured answers"
        return replace(told, judgement=Judgement(skipped=why))
    seen = play(situation.scene(work), program, stopping)
    return replace(told, judgement=situation.judged(seen), seconds=seen.seconds, output=seen.output)


def _shown(outcomes: "Sequence[Outcome]") -> str:
    played = [one for one in outcomes if one.judgement.skipped != _NOT_PLAYED]
    rows = [(one.name, one.judgement.word, f"{one.seconds:.1f}s" if one.seconds else "-", _why(one)) for one in played]
    parts = [table(["SITUATION", "RESULT", "TIME", "WHY"], rows, prose=True)]
    for one in outcomes:
        if one.judgement.faults and (printed := one.output.strip()):
            lines = harmless(printed).splitlines()[-_LINES:]
            parts.append("\n".join([f"\n{one.name}: the end of what it printed", *(f"  {line}" for line in lines)]))
    words = [one.judgement.word for one in played]
    told = [f"{words.count(word)} {word.lower()}" for word in ("Passed", "Failed", "Skipped") if word in words]
    if left := len(outcomes) - len(played):
        told.append(f"{left} {_NOT_PLAYED}")
    return "\n".join([*parts, f"\n{', '.join(told)}"])


def _why(outcome: "Outcome") -> str:
    """All faults as sentences; of what passed, the situation."""
    judgement = outcome.judgement
    told = ". ".join(f"{fault[:1].upper()}{fault[1:]}" for fault in judgement.faults)
    return told or judgement.skipped or outcome.about


def _as_json(outcomes: "Sequence[Outcome]") -> str:
    told: list[dict[str, Any]] = [
        {
            "name": one.name,
            "situation": one.about,
            "result": one.judgement.word,
            "seconds": round(one.seconds, 3),
            "faults": list(one.judgement.faults),
            **({"skipped": one.judgement.skipped} if one.judgement.skipped else {}),
            **({"output": one.output} if one.judgement.faults else {}),
        }
        for one in outcomes
    ]
    return as_json({"passed": not any(one.judgement.faults for one in outcomes), "situations": told})
