"""Rules between fields about steps: waits, time-outs, compaction, sessions. Called by `validation`."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from agentjobs.api.job.steps import StepBackoff
from agentjobs.api.job.team import Raw, as_list, as_object, scripted_problems
from agentjobs.api.problems import FieldProblem, Path, field_name, problem_at
from agentjobs.durations import format_duration, parse_duration

MIN_STEP_TIMEOUT: Final = timedelta(seconds=1)
_DEFAULTS: Final = StepBackoff()
_OPEN: Final = re.compile(r"\[!?\]?[^]]*$")


def step_problems(spec: Raw) -> Iterator[FieldProblem]:
    """Yield the problems of `steps` and `session` of a spec. Values of wrong types are skipped: the models report
    them.
    """
    steps = as_object(spec.get("steps"))
    yield from _call_problems(("steps", "llm"), as_object(steps.get("llm")))
    for number, tools in enumerate(as_list(steps.get("tools"))):
        here: Path = ("steps", "tools", number)
        if as_object(tools).get("match") == []:
            yield FieldProblem(field_name((*here, "match")), "", "is empty; name a tool, or write * for all of them")
        yield from _pattern_problems((*here, "match"), as_list(as_object(tools).get("match")))
        yield from _call_problems(here, as_object(tools))
    yield from _compaction_problems(as_object(steps.get("compaction")))
    yield from _session_problems(spec)


def _pattern_problems(path: Path, patterns: list[object]) -> Iterator[FieldProblem]:
    """Check patterns: an unclosed bracket is literal, so such a pattern matches no tool."""
    for number, pattern in enumerate(patterns):
        if isinstance(pattern, str) and _OPEN.search(pattern):
            yield problem_at((*path, number), pattern, "has a [ without a ]; close it, as in send_[ab]")


def _call_problems(path: Path, calls: Raw) -> Iterator[FieldProblem]:
    timeout = _duration(calls.get("timeout"))
    if timeout is not None and timeout < MIN_STEP_TIMEOUT:
        yield problem_at((*path, "timeout"), calls["timeout"], "is too short; use at least 1s")
    backoff = as_object(calls.get("backoff"))
    initial, most = _wait(backoff, "initial"), _wait(backoff, "max")
    if initial is None or most is None or initial <= most:
        return
    if backoff.get("max") is not None:
        cure = f"is shorter than initial, {format_duration(initial)}; use at least as much"
        yield problem_at((*path, "backoff", "max"), backoff["max"], cure)
    else:
        cure = f"is longer than max, whose default is {format_duration(most)}; set max to at least as much"
        yield problem_at((*path, "backoff", "initial"), backoff["initial"], cure, lacking=True)


def _wait(backoff: Raw, name: str) -> timedelta | None:
    """Return the effective wait: the value set, else the default; None for an invalid duration."""
    return _duration(backoff[name]) if backoff.get(name) is not None else getattr(_DEFAULTS, name)


def _duration(text: object) -> timedelta | None:
    try:
        return None if text is None else parse_duration(text)
    except ValueError:
        return None


def _compaction_problems(compaction: Raw) -> Iterator[FieldProblem]:
    path: Path = ("steps", "compaction")
    every, overlap = compaction.get("everyEvents"), compaction.get("overlap")
    if type(every) is int and type(overlap) is int and overlap >= every:
        cure = f"leaves nothing to summarize; use less than everyEvents, {every}"
        yield problem_at((*path, "overlap"), overlap, cure)
    yield from scripted_problems((*path, "model"), compaction.get("model"))


def _session_problems(spec: Raw) -> Iterator[FieldProblem]:
    """Check that a continued session has a name that other jobs can use."""
    session, inline = as_object(spec.get("session")), as_object(as_object(spec.get("agent")).get("inline"))
    if session.get("mode") != "Continue":
        return
    if session.get("sessionId") is None:
        yield _unnamed("sessionId", "the job's uid")
    if session.get("appName") is None and inline.get("name") is None:
        yield _unnamed("appName", "derived from the job's name")


def _unnamed(field: str, default: str) -> FieldProblem:
    cure = f"is required by mode Continue, because its default, {default}, differs in each job; set it, or remove mode"
    return FieldProblem(field_name(("session", field)), "", cure, lacking=True)
