"""What programs must do in single situations, and when that cannot be observed. Pure."""

import json
from collections.abc import Iterator
from typing import Final

from agentjobs import contract
from agentjobs.cli.conformance.faults import claims_no_success, sends_nothing, succeeds
from agentjobs.cli.conformance.observations import Observations, Token, first
from agentjobs.cli.conformance.scripts import RETRY_SECONDS, SOON
from agentjobs.contract import ErrorClass, Verdict

# A fence is noticed at the next heartbeat, and the current work may take a moment to stop.
_FENCE_SECONDS: Final = contract.HEARTBEAT_SECONDS + 10.0


def never_at_work(seen: Observations) -> str:
    """Why a program that ended early cannot be judged."""
    if seen.held:
        return ""
    cure = "Use --busy with a job that takes 40 s, or call a model"
    return f"it did not work long enough to be judged. {cure}"


def not_stopped_at_work(seen: Observations) -> str:
    """Why a program that could not be stopped cannot be judged."""
    if seen.held and seen.stopped is None and seen.code is not None:
        return "it ended before it could be stopped"
    return never_at_work(seen)


def called_no_model(seen: Observations) -> str:
    """Why a program that calls no model cannot be judged."""
    return "" if seen.called_models else f"it called no model through {contract.ENV_MODELS_URL}"


def repeats_the_final_result(seen: Observations) -> Iterator[str]:
    """An attempt that has a result is finished."""
    yield from succeeds(seen) if seen.word is None or seen.word.verdict is not Verdict.SUCCEED else ()
    if seen.called_models:
        yield "it called a model, although the attempt has a `result`: run nothing and repeat Succeed"
    if any(call.document().get("result") not in (None, seen.final) for call in seen.reports):
        yield "it reported its own result, although the attempt has a `result`: run nothing and repeat Succeed"


def is_fenced(seen: Observations) -> Iterator[str]:
    """409 ends the program immediately, without a report."""
    fence = first(seen.calls, lambda call: call.status == 409)
    if fence is None:
        if seen.code is not None:
            yield "it sent no request that could be answered with 409: report the result before the end"
        return
    yield from sends_nothing(seen, fence)
    if seen.ended > fence.at + _FENCE_SECONDS:
        yield f"it continued for {seen.ended - fence.at:.0f} s after 409 Fenced: stop immediately"


def is_fenced_at_work(seen: Observations) -> Iterator[str]:
    """409 is noticed while the program works."""
    claimed = first(seen.calls, lambda call: call.claims and call.status == 200)
    fence = first(seen.calls, lambda call: call.status == 409)
    if claimed is None:
        return
    silence = (seen.ended if fence is None else fence.at) - claimed.at
    if silence > SOON + _FENCE_SECONDS:
        yield f"it sent no heartbeat for {silence:.0f} s, so it did not notice 409 Fenced"
    if fence is not None:
        yield from is_fenced(seen)


def reports_the_same(seen: Observations) -> Iterator[str]:
    """A report that may have been stored is repeated unchanged."""
    yield from succeeds(seen)
    if len({json.dumps(call.document(), sort_keys=True) for call in seen.reports}) > 1:
        yield f"it changed its report when it retried PUT {contract.PATH_RESULT}: send the same report"


def reads_the_token_again(seen: Observations) -> Iterator[str]:
    """A token is renewed while a program runs."""
    yield from succeeds(seen)
    if old := first(seen.calls, lambda call: call.token is Token.OLD):
        yield (
            f"it sent {old.method} {old.path} with an outdated token: read {contract.ENV_TOKEN_FILE} again "
            "for each request"
        )


def waits_before_retries(seen: Observations) -> Iterator[str]:
    """429 has the time to wait."""
    yield from succeeds(seen)
    faults = set[str]()
    for place, call in enumerate(seen.calls):
        again = first(seen.calls[place + 1 :], lambda later: (later.method, later.path) == (call.method, call.path))  # noqa: B023  called here
        if call.status == 429 and again is not None and again.at - call.at < 0.9 * RETRY_SECONDS:
            faults.add(
                f"it retried {again.at - call.at:.1f} s after 429 with Retry-After: {RETRY_SECONDS:.0f} "
                f"({call.method} {call.path}): wait for that time"
            )
    yield from sorted(faults)


def treats_a_rejected_result_as_failure(seen: Observations) -> Iterator[str]:
    """A result that was not stored is not a success."""
    yield from (f"{fault}, although the gateway rejected its result" for fault in claims_no_success(seen))
    if seen.code is not None and not seen.reports:
        yield f"it reported nothing: send PUT {contract.PATH_RESULT} before the termination message"


def is_interrupted(seen: Observations) -> Iterator[str]:
    """SIGTERM ends the program in time, and incomplete work is not a success."""
    if seen.code is None:
        return
    for fault in claims_no_success(seen):
        yield f"{fault}, although it was stopped before its work was done"
    word = seen.word
    if word is None:
        what = "no termination message" if not seen.termination else "an invalid one"
        yield f"it left {what} when it was stopped: report Snooze Interrupted"
    elif word.verdict is not Verdict.SUCCEED and word.reason != ErrorClass.INTERRUPTED:
        reported = f"{word.verdict} {word.reason}"
        yield f"it left {reported} when it was stopped: the operator expects reason Interrupted"


def is_no_success(seen: Observations) -> Iterator[str]:
    """A result that could not be stored is not a success."""
    yield from (f"{fault}, although no result could be stored" for fault in claims_no_success(seen))


def gives_up_late(seen: Observations) -> Iterator[str]:
    """A gateway may be unavailable for some time."""
    yield from is_no_success(seen)
    tries = seen.reports
    if (
        tries
        and seen.code is not None
        and (tried := seen.ended - tries[0].at) < 0.75 * contract.GATEWAY_TIMEOUT_SECONDS
    ):
        yield (
            f"it gave up {tried:.0f} s after its first PUT {contract.PATH_RESULT}: a gateway may be unavailable for "
            f"{contract.GATEWAY_TIMEOUT_SECONDS:.0f} s"
        )


def trusts_no_other_server(seen: Observations) -> Iterator[str]:
    """Only the gateway gets the token."""
    if seen.calls:
        yield (
            f"it sent {seen.calls[0].method} {seen.calls[0].path} to a server whose certificate is not signed by "
            f"{contract.ENV_GATEWAY_CA}: that server now has the pod's token"
        )
    yield from claims_no_success(seen)


def is_over_budget(seen: Observations) -> Iterator[str]:
    """A used-up budget is not an answer."""
    word = seen.word
    for fault in claims_no_success(seen):
        yield f"{fault}, although the model call was rejected"
    if word is None:
        yield "it left no verdict after 402: report Fail BudgetExceeded"
    elif word.verdict is not Verdict.SUCCEED and (word.verdict, word.reason) != (
        Verdict.FAIL,
        ErrorClass.BUDGET_EXCEEDED,
    ):
        yield f"it left {word.verdict} {word.reason} after 402 from the model proxy: report Fail BudgetExceeded"


def fits_the_schema(seen: Observations) -> Iterator[str]:
    """A structured answer matches the job's schema."""
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
        yield f"`structured` of its result does not match output.schema: {contract.cut(error.message, 200)}"
    key = output.get("outcomeKey")
    decided = structured.get(key) if key else None
    if isinstance(decided, str) and seen.final.get("outcome") != decided:
        yield f"the outcome of its result is {seen.final.get('outcome')!r}: it must be {key!r}, {decided!r}"
