"""What every program must do in every situation: each function finds one kind of fault. Pure.

A fault is a sentence: what the program did, then what it must do.
"""

from collections.abc import Callable, Iterator
from typing import Final

from agentjobs import contract
from agentjobs.cli.conformance.observations import KUBELET_BYTES, Call, Observations, Token
from agentjobs.contract import EXIT_CODES, EXIT_FENCED, Verdict

# After this silence the operator considers a pod on a failed node lost.
SILENCE_SECONDS: Final = 30.0
# Requests that a process may still send while it ends.
_SLACK: Final = 1.0
_REFUSED: Final = frozenset({400, 405, 413, 422})


def everywhere(seen: Observations) -> list[str]:
    """Return all faults that do not depend on the situation."""
    return [fault for check in _CHECKS for fault in check(seen)]


def _ends(seen: Observations) -> Iterator[str]:
    if seen.code is None:
        yield f"it {seen.why_killed}, so it was killed"


def _claims_first(seen: Observations) -> Iterator[str]:
    first = next(seen.to_gateway(), None)
    if first is None:
        if seen.stopped is None and not seen.shaken_off:
            yield f"it never called the gateway: begin with GET {contract.PATH_ATTEMPT} at {contract.ENV_GATEWAY_URL}"
    elif not first.claims:
        yield f"its first request was {first.method} {first.path}: begin with GET {contract.PATH_ATTEMPT}"


def _shows_its_token(seen: Observations) -> Iterator[str]:
    without = [call for call in seen.calls if call.token in (Token.NONE, Token.WRONG)]
    for call in without[:1]:
        called = "a model" if call.of_models else "the gateway"
        key = "no token" if call.token is Token.NONE else "a token other than the pod's"
        how = "as the API key of the provider's API" if call.of_models else "as `Authorization: Bearer …`"
        yield f"it called {called} with {key} ({call.method} {call.path}): send {contract.ENV_TOKEN_FILE} {how}"


def _sends_what_is_taken(seen: Observations) -> Iterator[str]:
    seen_paths = set[str]()
    for call in seen.to_gateway():
        if call.refused and call.path not in seen_paths:
            seen_paths.add(call.path)
            yield f"{call.method} {call.path} was rejected with {call.status}: {call.refused}"


def _leaves_a_message(seen: Observations) -> Iterator[str]:
    size, word = len(seen.termination), seen.word
    if seen.replaced:
        yield f"it replaced {contract.ENV_TERMINATION_FILE}, which is a mount in a pod: write into the file"
    if size > (most := contract.MAX_TERMINATION_BYTES):
        yield f"its termination message has {size} bytes, but a kubelet may keep {most}: shorten message or summary"
    if seen.termination and word is None and size <= KUBELET_BYTES:
        yield "its termination message is invalid: it must be one JSON object, see the contract"
    if word is not None:
        if word.uid != seen.attempt["uid"] and (word.uid or seen.claimed):
            yield f"its termination message has uid {word.uid!r}: it must be the attempt's, {seen.attempt['uid']!r}"
        if word.start != seen.attempt["start"]:
            yield f"its termination message has start {word.start}: it must be {contract.ENV_START}"


def _agrees_with_itself(seen: Observations) -> Iterator[str]:
    word, code = seen.word, seen.code
    if code is None:
        return
    if word is None:
        if code == 0:
            yield "it exited with 0 without a termination message: that counts as a crash"
        return
    if code != (right := EXIT_CODES[word.verdict]):
        yield f"it exited with {code} and left the verdict {word.verdict}: the exit code must be {right}"


def _reports_consistently(seen: Observations) -> Iterator[str]:
    word = seen.word
    if word is None:
        return
    stored = seen.final is not None
    if word.verdict is Verdict.SUCCEED and not stored:
        yield "it left the verdict Succeed, but no result is stored: store the result first"
    if word.verdict is not Verdict.SUCCEED and (taken := _taken(seen)) is not None and taken["verdict"] == "Succeed":
        yield f"its result was stored, but it left the verdict {word.verdict}: report Succeed"
    final = seen.final
    if final is not None and word.verdict is Verdict.SUCCEED:
        yield from _repeats(seen, final, word.summary, word.outcome)


def _repeats(seen: Observations, final: contract.Result, summary: str, outcome: str | None) -> Iterator[str]:
    own = final.get("outcome")
    if outcome != own:
        yield f"its termination message has outcome {outcome!r}: it must be the final result's, {own!r}"
    head = summary.removesuffix("…")
    if not final["text"].startswith(head) or (final["text"] and not head):
        yield "the summary of its termination message is not the beginning of the final result's text"


def _taken(seen: Observations) -> dict[str, object] | None:
    """The report that the gateway stored."""
    return next((call.document() for call in reversed(seen.reports) if call.status == 200), None)


def _keeps_its_token(seen: Observations) -> Iterator[str]:
    if seen.leaked:
        yield "it printed the pod's token: readers of its log could use it"
    if any(call.leaks for call in seen.calls):
        yield "it sent the pod's token in a path or a body, where it is stored: send it only in the header"


def _sends_heartbeats(seen: Observations) -> Iterator[str]:
    claimed = [call.at for call in seen.to_gateway() if call.claims and call.status == 200]
    if not claimed:
        return
    times = [call.at for call in seen.to_gateway() if call.at >= claimed[0]]
    longest = max(later - earlier for earlier, later in zip(times, [*times[1:], seen.ended], strict=True))
    if longest > SILENCE_SECONDS:
        yield (
            f"it sent nothing for {longest:.0f} s: send POST {contract.PATH_HEARTBEAT} every "
            f"{contract.HEARTBEAT_SECONDS:.0f} s, or its pod may be considered lost"
        )


def _stops_in_time(seen: Observations) -> Iterator[str]:
    if seen.stopped is not None and seen.code is not None and seen.ended - seen.stopped > seen.grace:
        yield f"it took {seen.ended - seen.stopped:.1f} s to stop: {contract.ENV_GRACE_SECONDS} was {seen.grace:.0f}"


_CHECKS: Final[tuple[Callable[[Observations], Iterator[str]], ...]] = (
    _ends,
    _claims_first,
    _shows_its_token,
    _sends_what_is_taken,
    _leaves_a_message,
    _agrees_with_itself,
    _reports_consistently,
    _keeps_its_token,
    _sends_heartbeats,
    _stops_in_time,
)


def succeeds(seen: Observations) -> list[str]:
    """The faults of a program that could have succeeded."""
    if seen.code is None:
        return []  # reported already
    word = seen.word
    if word is None:
        what = "an invalid message" if seen.termination else "no message"
        return [f"it exited with {seen.code} and left {what} in {contract.ENV_TERMINATION_FILE}: it should succeed"]
    if word.verdict is not Verdict.SUCCEED:
        return [f"it left {word.verdict} {word.reason}: {word.message or 'no message'}; it should succeed"]
    return [] if seen.reports else [f"it reported nothing: send PUT {contract.PATH_RESULT} before the message"]


def sends_nothing(seen: Observations, since: Call | None) -> Iterator[str]:
    """The faults of a program whose start another pod holds, as the answer to `since` reported."""
    if seen.code is not None and seen.code != EXIT_FENCED:
        yield f"it exited with {seen.code} after 409 Fenced: the exit code is {EXIT_FENCED}"
    if seen.termination:
        yield "it left a termination message after 409 Fenced: it would apply to another pod's work"
    if since is not None:
        late = [call for call in seen.calls if call.at > since.at + _SLACK]
        if late:
            yield f"it continued after 409 Fenced, with {late[0].method} {late[0].path}: stop immediately"


def claims_no_success(seen: Observations) -> Iterator[str]:
    """The fault of a program that reported success although it could not succeed."""
    if seen.word is not None and seen.word.verdict is Verdict.SUCCEED:
        yield "it left the verdict Succeed"
    elif seen.code == 0:
        yield "it exited with 0"
