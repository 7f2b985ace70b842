"""The verb that checks programs against the runner contract: conformance."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from agentjobs.cli.failures import FAILURE, USAGE, Failure, installs, nearest
from agentjobs.cli.grammar import Verb
from agentjobs.cli.options import checked, output, seconds_of
from agentjobs.cli.printing import as_json, counted, harmless, show, table

if TYPE_CHECKING:
    from agentjobs.cli.conformance.observations import Outcome
    from agentjobs.cli.conformance.program import Program
    from agentjobs.cli.conformance.situations import Situation, Work
    from agentjobs.contract import Attempt

_COMMAND: Final = "agentjobs.conformance.command"
# Lines of output that are shown for a failed situation.
_LINES: Final = 12
_MOST_AT_ONCE: Final = 32
_POLL_SECONDS: Final = 0.05
_NOT_PLAYED: Final = "not run, because the situation success must pass first"


class _WithCommand(Verb):
    """A verb with a command after `--`, which is not parsed."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep the arguments after the first `--`."""
        place = args.index("--") if "--" in args else len(args)
        ctx.meta[_COMMAND] = tuple(args[place + 1 :])
        return super().parse_args(ctx, args[:place])


def register(app: typer.Typer) -> None:
    """Add this module's verb."""
    app.command(cls=_WithCommand)(conformance)


def conformance(
    context: typer.Context,
    image: Annotated[
        str | None, typer.Argument(metavar="[IMAGE | -- COMMAND...]", help="An image, or a command on this machine.")
    ] = None,
    filename: Annotated[
        str | None,
        typer.Option("--filename", "-f", metavar="FILE", help="The job to run; by default one that says hello."),
    ] = None,
    busy: Annotated[
        str | None,
        typer.Option("--busy", metavar="FILE", help="A job that takes 40 s, for programs that call no model."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Only this situation; repeatable.")
    ] = None,
    long: Annotated[bool, typer.Option("--long", help="Include situations that take minutes.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the situations, without running them.")] = False,
    parallel: Annotated[
        int, typer.Option("--parallel", metavar="NUMBER", help="Situations at the same time; by default 4.")
    ] = 4,
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="DURATION", help="Time limit for its own work; by default 1m.")
    ] = "1m",
    format_: Annotated[str | None, output("table", "json")] = None,
) -> None:
    """Check a program against the runner contract.

    Runs it once in each situation that can occur in a pod, with a gateway and a model proxy on this machine, and
    reports what it did wrong. Commands run as processes, images in docker or podman.

    Exits with 0 if it made no mistake, 1 if it did, 3 if this machine cannot run images.

    Examples:
        agentjobs conformance -- node agent.mjs
        agentjobs conformance registry.example.com/team/agent:1
        agentjobs conformance registry.example.com/team/agent:1 -- python -m agent
        agentjobs conformance --only sigterm -f job.yaml -- ./agent
        agentjobs conformance --list
    """
    format_ = checked(format_, "table", "json")
    _check_installed()
    from agentjobs.cli.conformance.situations import SITUATIONS

    if list_:
        rows = [
            (situation.name, situation.about + (" (with --long)" if situation.is_long else ""))
            for situation in SITUATIONS
        ]
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
    if any(situation.judgement.faults for situation in outcomes):
        raise typer.Exit(FAILURE)


def _check_installed() -> None:
    from importlib.util import find_spec

    for module in ("msgspec", "cryptography"):
        if find_spec(module) is None:
            raise Failure(f"conformance needs {module}, which is not installed. Run: {installs('dev')}", code=USAGE)


def _wanted(situations: Sequence["Situation"], only: Sequence[str] | None, *, long: bool) -> "list[Situation]":
    named = {situation.name: situation for situation in situations}
    for name in only or ():
        if name not in named:
            raise Failure(f"--only={name}: unknown situation; {nearest(name, named)}", code=USAGE)
    if only:
        return [situation for situation in situations if situation.name in only]
    return [situation for situation in situations if long or not situation.is_long]


def _program(image: str | None, command: tuple[str, ...]) -> "Program":
    from agentjobs.cli.conformance import program

    if image is not None:
        return program.image(image, command)
    if not command:
        cure = "give an image, or a command after `--`: agentjobs conformance -- node agent.mjs"
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
    """Return the attempt of the job in a file, or of a job that says hello."""
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
        raise Failure(f"{file} has {counted(len(jobs), 'AgentJob')}; exactly one is needed.", code=USAGE)
    return accepted(Work(jobs[0], [body for body in bodies if body is not jobs[0]]))


def _played(wanted: "Sequence[Situation]", program: "Program", work: "Work", parallel: int) -> "Iterator[Outcome]":
    """Play the situations, several at a time, and yield the results in order.

    Situations that would fail only because `success` failed are not played.
    """
    from agentjobs.cli.conformance.observations import Judgement, Outcome

    stopping = threading.Event()
    first, rest = list(wanted[:1]), list(wanted[1:])
    if first and first[0].name != "success":
        first, rest = [], list(wanted)
    with ThreadPoolExecutor(parallel) as pool:
        try:
            for situation in first:
                outcome = _result(pool.submit(_outcome, situation, program, work, stopping))
                yield outcome
                if outcome.judgement.faults:
                    yield from (Outcome(other.name, other.about, Judgement(skipped=_NOT_PLAYED)) for other in rest)
                    return
            playing = [pool.submit(_outcome, situation, program, work, stopping) for situation in rest]
            yield from map(_result, playing)
        finally:
            stopping.set()


def _result(outcome: "Future[Outcome]") -> "Outcome":
    # Not concurrent.futures.wait: a Ctrl-C inside it may leave its lock released, and end as RuntimeError.
    while not outcome.done():
        time.sleep(_POLL_SECONDS)
    return outcome.result()


def _outcome(situation: "Situation", program: "Program", work: "Work", stopping: threading.Event) -> "Outcome":
    from agentjobs.cli.conformance.observations import Judgement, Outcome
    from agentjobs.cli.conformance.player import play

    outcome = Outcome(situation.name, situation.about, Judgement())
    if situation.needs_schema and not (work.plain["resolved"]["spec"].get("output") or {}).get("schema"):
        why = "the job has no output.schema. Use -f with a job that has one, if the program gives structured answers"
        return replace(outcome, judgement=Judgement(skipped=why))
    seen = play(situation.scene(work), program, stopping)
    return replace(outcome, judgement=situation.judged(seen), seconds=seen.seconds, output=seen.output)


def _shown(outcomes: "Sequence[Outcome]") -> str:
    played = [outcome for outcome in outcomes if outcome.judgement.skipped != _NOT_PLAYED]
    rows = [
        (outcome.name, outcome.judgement.word, f"{outcome.seconds:.1f}s" if outcome.seconds else "-", _why(outcome))
        for outcome in played
    ]
    parts = [table(["SITUATION", "RESULT", "TIME", "WHY"], rows, prose=True)]
    for outcome in outcomes:
        if outcome.judgement.faults and (printed := outcome.output.strip()):
            lines = harmless(printed).splitlines()[-_LINES:]
            parts.append("\n".join([f"\n{outcome.name}: the end of its output", *(f"  {line}" for line in lines)]))
    results = [outcome.judgement.word for outcome in played]
    counts = [
        f"{results.count(result)} {result.lower()}" for result in ("Passed", "Failed", "Skipped") if result in results
    ]
    if left := len(outcomes) - len(played):
        counts.append(f"{left} {_NOT_PLAYED}")
    return "\n".join([*parts, f"\n{', '.join(counts)}"])


def _why(outcome: "Outcome") -> str:
    """All faults as sentences, or the name of a situation that passed."""
    judgement = outcome.judgement
    faults = ". ".join(f"{fault[:1].upper()}{fault[1:]}" for fault in judgement.faults)
    return faults or judgement.skipped or outcome.about


def _as_json(outcomes: "Sequence[Outcome]") -> str:
    situations: list[dict[str, Any]] = [
        {
            "name": outcome.name,
            "situation": outcome.about,
            "result": outcome.judgement.word,
            "seconds": round(outcome.seconds, 3),
            "faults": list(outcome.judgement.faults),
            **({"skipped": outcome.judgement.skipped} if outcome.judgement.skipped else {}),
            **({"output": outcome.output} if outcome.judgement.faults else {}),
        }
        for outcome in outcomes
    ]
    return as_json({"passed": not any(outcome.judgement.faults for outcome in outcomes), "situations": situations})
