"""What programs must do in single situations beside what they must do in all, and when that cannot be seen. Pure."""

import json
from collections.abc import Iterator
from typing import Final

from agentjobs import contract
from agentjobs.cli.conformance.faults import claims_no_success, says_nothing, succeeds
from agentjobs.cli.conformance.scripts import ASKED_SECONDS, SOON
from agentjobs.cli.conformance.seen import Seen, Token, first
from agentjobs.contract import ErrorClass, Verdict

# A fence is met at the next heartbeat, and what runs then may take a moment to stop.
_FENCE_SECONDS: Final = contract.HEARTBEAT_SECONDS + 10.0


def never_at_work(seen: Seen) -> str:
    """Why nothing is seen of a program that ended early."""
    if seen.held:
        return ""
    cure = "Give a job on which it works for 40 s with --busy, or let it ask a model"
    return f"it was not at work for long enough to see it. {cure}"


def not_stopped_at_work(seen: Seen) -> str:
    """Why nothing is seen of one that could not be told to stop."""
    if seen.held and seen.stopped is None and seen.code is not None:
        return "it ended before it could be told to stop"
    return never_at_work(seen)


def asked_no_model(seen: Seen) -> str:
    """Why nothing is seen of one that asks no model."""
    return "" if seen.asked_models else f"it asked no model through {contract.ENV_MODELS_URL}"


def repeats_the_final_result(seen: Seen) -> Iterator[str]:
    """An attempt that has a result is over."""
    yield from succeeds(seen) if seen.word is None or seen.word.verdict is not Verdict.SUCCEED else ()
    if seen.asked_models:
        yield "it asked a model, although the attempt has a `result`: run nothing, repeat Succeed"
    if any(call.document().get("result") not in (None, seen.final) for call in seen.reports):
        yield "it reported a result of its own, although the attempt has a `result`: run nothing, repeat Succeed"


def is_fenced(seen: Seen) -> Iterator[str]:
    """409 ends the program at once, without a word."""
    fence = first(seen.calls, lambda call: call.status == 409)
    if fence is None:
        if seen.code is not None:
            yield "it sent nothing that could be answered with 409: the result is reported before the program ends"
        return
    yield from says_nothing(seen, fence)
    if seen.ended > fence.at + _FENCE_SECONDS:
        yield f"it went on for {seen.ended - fence.at:.0f} s after 409 Fenced: stop at once"


def is_fenced_at_work(seen: Seen) -> Iterator[str]:
    """409 is heard of while the program works."""
    claimed = first(seen.calls, lambda call: call.claims and call.status == 200)
    fence = first(seen.calls, lambda call: call.status == 409)
    if claimed is None:
        return
    heard = (seen.ended if fence is None else fence.at) - claimed.at
    if heard > SOON + _FENCE_SECONDS:
        yield f"it sent no heartbeat for {heard:.0f} s, so that it did not hear of 409 Fenced"
    if fence is not None:
        yield from is_fenced(seen)


def reports_the_same(seen: Seen) -> Iterator[str]:
    """A report that may have been stored is sent again as it was."""
    yield from succeeds(seen)
    if len({json.dumps(call.document(), sort_keys=True) for call in seen.reports}) > 1:
        yield f"it reported different things when PUT {contract.PATH_RESULT} was tried again: report the same"


def reads_the_token_anew(seen: Seen) -> Iterator[str]:
    """A token is renewed while a program runs."""
    yield from succeeds(seen)
    if old := first(seen.calls, lambda call: call.token is Token.OLD):
        yield (
            f"it sent {old.method} {old.path} with a token that had been renewed: read {contract.ENV_TOKEN_FILE} anew "
            "for each request"
        )


def waits_as_asked(seen: Seen) -> Iterator[str]:
    """429 says how long to wait."""
    yield from succeeds(seen)
    told = set[str]()
    for place, call in enumerate(seen.calls):
        again = first(seen.calls[place + 1 :], lambda one: (one.method, one.path) == (call.method, call.path))  # noqa: B023  called here
        if call.status == 429 and again is not None and again.at - call.at < 0.9 * ASKED_SECONDS:
            told.add(
                f"it asked again {again.at - call.at:.1f} s after 429 with Retry-After: {ASKED_SECONDS:.0f} "
                f"({call.method} {call.path}): wait as long as that says"
            )
    yield from sorted(told)


def takes_what_is_refused_for_a_failure(seen: Seen) -> Iterator[str]:
    """A result that is not stored is no success."""
    yield from (f"{fault}, although the gateway refused its result" for fault in claims_no_success(seen))
    if seen.code is not None and not seen.reports:
        yield f"it reported nothing: PUT {contract.PATH_RESULT} comes before the message"


def is_interrupted(seen: Seen) -> Iterator[str]:
    """SIGTERM ends the program in time, and no half work is a success."""
    if seen.code is None:
        return
    for fault in claims_no_success(seen):
        yield f"{fault}, although it was told to stop before its work was done"
    word = seen.word
    if word is None:
        what = "no termination message" if not seen.termination else "one that cannot be read"
        yield f"it left {what} when it was told to stop: Snooze Interrupted says that it was no fault of its own"
    elif word.verdict is not Verdict.SUCCEED and word.reason != ErrorClass.INTERRUPTED:
        said = f"{word.verdict} {word.reason}"
        yield f"it left {said} when it was told to stop: reason Interrupted lets the operator see who stopped it"


def is_no_success(seen: Seen) -> Iterator[str]:
    """What could not be stored is no success."""
    yield from (f"{fault}, although no result could be stored" for fault in claims_no_success(seen))


def gives_up_late(seen: Seen) -> Iterator[str]:
    """A gateway may be away for some time."""
    yield from is_no_success(seen)
    tries = seen.reports
    if (
        tries
        and seen.code is not None
        and (tried := seen.ended - tries[0].at) < 0.75 * contract.GATEWAY_PATIENCE_SECONDS
    ):
        yield (
            f"it gave up {tried:.0f} s after its first PUT {contract.PATH_RESULT}: a gateway may be away for "
            f"{contract.GATEWAY_PATIENCE_SECONDS:.0f} s"
        )


def trusts_nobody_else(seen: Seen) -> Iterator[str]:
    """A token is for the gateway alone."""
    if seen.calls:
        yield (
            f"it sent {seen.calls[0].method} {seen.calls[0].path} to a server whose certificate is not signed by "
            f"{contract.ENV_GATEWAY_CA}: whoever answers there has the pod's token now"
        )
    yield from claims_no_success(seen)


def is_over_budget(seen: Seen) -> Iterator[str]:
    """A budget that is spent is not an answer."""
    word = seen.word
    for fault in claims_no_success(seen):
        yield f"{fault}, although the model was refused"
    if word is None:
        yield "it left no verdict after 402: Fail BudgetExceeded"
    elif word.verdict is not Verdict.SUCCEED and (word.verdict, word.reason) != (
        Verdict.FAIL,
        ErrorClass.BUDGET_EXCEEDED,
    ):
        yield f"it left {word.verdict} {word.reason} after 402 from the model proxy: it is Fail BudgetExceeded"


def fits_the_schema(seen: Seen) -> Iterator[str]:
    """A structured answer is what the job asked for."""
    import jsonschema

    faults = succeeds(seen)
    yield from faults
    if faults or seen.final is None:
        return
    output = seen.attempt["resolved"]["spec"]["output"]
    structured = seen.final["structured"]
    if structured is None:
        yield "its result has no `structured`, although the job has output.schema"
        return
    try:
        jsonschema.validate(structured, output["schema"])
    except jsonschema.ValidationError as error:
        yield f"`structured` of its result does not fit output.schema: {contract.cut(error.message, 200)}"
    key = output.get("outcomeKey")
    decided = structured.get(key) if key else None
    if isinstance(decided, str) and seen.final.get("outcome") != decided:
        yield f"the outcome of its result is {seen.final.get('outcome')!r}: it is what {key!r} has, {decided!r}"
