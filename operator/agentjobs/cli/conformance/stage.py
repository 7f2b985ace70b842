"""The state of a situation, and the answers of its gateway and model proxy: the cluster's, except where the situation's
script has others."""

import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from agentjobs import contract, errors
from agentjobs.cli.conformance import models
from agentjobs.cli.conformance.observations import MODELS, Call, Token
from agentjobs.contract import Attempt, ErrorClass, JournalHead, KeptFile, KeptFiles, Result, StepsAnswer, StepsPage
from agentjobs.gateway.bodies import EventsBody, HeartbeatBody, Model, ResultDocumentBody, StepsBody, parse
from agentjobs.history.kept import Room, Write, check_write
from agentjobs.problem import Problem

MAX_HEARTBEAT_BYTES: Final = 4 * 1024
# After so many rejected tokens a program will not find the right one.
_HOPELESS: Final = 8


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: JSON, bytes, or nothing."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self) -> bytes:
        """Return the body."""
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


CUT: Final = Reply(0)
"""Close the connection without a response."""
LOST: Final = Reply(-1)
"""Process the request, but lose the response."""

Script = Callable[[Call], Reply | None]
"""A situation's answer; None for the normal one."""


def refusal(status: int, reason: str, message: str, **headers: str) -> Reply:
    """Return an error response in the gateway's format; `retry_after="2"` is a header."""
    fields = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return Reply(status, {"reason": reason, "message": message}, fields)


class Stage:
    """The state of a situation's servers. Used from the threads of their connections.

    Args:
        given: the attempt.
        answer: the answer of models.
        hold: their delay in seconds.
        works_long: whether the program is known to take long for the job.
        renew: called with a new token, after which only that is valid.
    """

    def __init__(
        self, given: Attempt, *, answer: str, hold: float, works_long: bool, renew: Callable[[str], None]
    ) -> None:
        self.given = given
        self.works_long = works_long
        self.final = given["result"]
        self.calls: list[Call] = []
        self.script: Script = lambda call: None
        self.budget_spent = False
        """Whether model calls are rejected because of the job's budget."""
        self.over = threading.Event()
        """Delays end."""
        self.began = time.monotonic()
        self.shaken_off: float | None = None
        """When the first connection ended without a request."""
        self._answer, self._hold, self._renew = answer, hold, renew
        self._lock = threading.Lock()
        self._tokens = [_token()]
        self._steps = 0
        self._kept: dict[str, bytes] = {}

    @property
    def tokens(self) -> tuple[str, ...]:
        """All tokens of the pod, newest last."""
        return tuple(self._tokens)

    @property
    def hopeless(self) -> bool:
        """Whether the program's token is repeatedly rejected."""
        return sum(call.status == 401 for call in list(self.calls)) >= _HOPELESS

    def renew_token(self) -> None:
        """Give the pod a new token; earlier ones become invalid."""
        self._tokens.append(_token())
        self._renew(self._tokens[-1])

    def token_of(self, key: str) -> Token:
        """Return which token a request has."""
        if key == self._tokens[-1]:
            return Token.NEWEST
        return Token.OLD if key in self._tokens else Token.WRONG if key else Token.NONE

    def leaks(self, text: bytes) -> bool:
        """Whether it contains a token."""
        return any(token.encode() in text for token in self._tokens)

    def note(self, call: Call) -> None:
        """Record a request as it arrives."""
        with self._lock:
            self.calls.append(call)

    def answer(self, call: Call) -> Reply:
        """Process a request and return its response."""
        if call.of_models:
            reply = self._models(call)
        elif call.token is not Token.NEWEST:
            reply = refusal(401, "Unauthorized", "The token is not that of a runner's pod, or is not valid any more.")
        else:
            scripted = self.script(call)
            reply = self._usual(call) if scripted is None or scripted is LOST else scripted
            reply = LOST if scripted is LOST else reply
            if scripted is not None and scripted.status == 200:
                return reply  # from a proxy, not from the gateway
        call.status = max(reply.status, 0)
        return reply

    def _models(self, call: Call) -> Reply:
        request = models.read(call.path.removeprefix(MODELS), call.body)
        if request is None:
            return Reply(404, {"error": {"message": "The model proxy does not pass this path on."}})
        if call.token is not Token.NEWEST:
            return Reply(401, models.refusal(request, 401, ErrorClass.MODEL_AUTH, "the token is not the pod's"))
        if self.budget_spent:
            message = "the job's budget is used up"
            return Reply(
                402, models.refusal(request, 402, ErrorClass.BUDGET_EXCEEDED, message), {"x-should-retry": "false"}
            )
        self.over.wait(self._hold)
        return Reply(200, models.answer(request, self._answer), {"Content-Type": models.content_type(request)})

    def _usual(self, call: Call) -> Reply:
        try:
            return self._gateway_reply(call, urlsplit(call.path))
        except Problem as problem:
            call.refused = problem.message
            return Reply(problem.status, {"reason": problem.reason, "message": problem.message}, problem.headers)

    def _gateway_reply(self, call: Call, place: Any) -> Reply:
        with self._lock:
            match call.method, place.path:
                case "GET", contract.PATH_ATTEMPT:
                    # A newer gateway may send fields that a program does not have.
                    return Reply(200, {**self.given, "aNewerKey": {"of": ["a newer gateway"]}})
                case "POST", contract.PATH_EVENTS:
                    _read(EventsBody, call.body, contract.MAX_EVENTS_BODY_BYTES)
                    return Reply(204)
                case "POST", contract.PATH_HEARTBEAT:
                    if call.body:
                        _read(HeartbeatBody, call.body, MAX_HEARTBEAT_BYTES)
                    return Reply(204)
                case "PUT", contract.PATH_RESULT:
                    return self._report(call.body)
                case "GET", contract.PATH_STEPS:
                    return Reply(200, StepsPage(steps=[], next=None))
                case "POST", contract.PATH_STEPS:
                    body = _read(StepsBody, call.body, contract.MAX_STEPS_BODY_BYTES)
                    self._steps += len(body.to_contract()["steps"])
                    return Reply(200, StepsAnswer(last=self._steps))
                case method, contract.PATH_KEPT | contract.PATH_KEPT_CONTENT as path:
                    return self._keep(method, path, parse_qs(place.query), call.body)
        return refusal(404, "NotFound", f"There is nothing at {call.method} {place.path}.")

    def _report(self, body: bytes) -> Reply:
        document = _read(ResultDocumentBody, body, contract.MAX_RESULT_BYTES).to_contract()
        if document["result"] is not None and self.final is None:
            result: Result = json.loads(body)["result"]
            self.final = result
        return Reply(200, {"final": self.final})

    def _keep(self, method: str, path: str, query: Mapping[str, list[str]], body: bytes) -> Reply:
        if path == contract.PATH_KEPT:
            files = [KeptFile(name=name, bytes=len(text)) for name, text in sorted(self._kept.items())]
            return Reply(200, KeptFiles(files=files))
        name, offset = query.get("name", [""])[0], query.get("offset", ["0"])[0]
        at, before = int(offset) if offset.isdecimal() else 0, self._kept.get(name)
        if method == "PUT":
            if len(body) > contract.MAX_KEPT_PART_BYTES:
                raise Problem(413, "BodyTooLarge", f"A part has at most {contract.MAX_KEPT_PART_BYTES} bytes.")
            taken = sum(map(len, self._kept.values()))
            try:
                check_write(
                    Write(name, at, body), Room(None if before is None else len(before), len(self._kept), taken)
                )
            except errors.Invalid as error:
                status = 413 if isinstance(error, errors.TooLarge) else 422
                raise Problem(status, type(error).__name__, str(error)) from error
            self._kept[name] = (before or b"")[:at] + body
            return Reply(204)
        if method == "DELETE":
            self._kept.pop(name, None)
            return Reply(204)
        if before is None:
            return refusal(404, "NotFound", "The file does not exist.")
        part = before[at : at + contract.MAX_KEPT_PART_BYTES]
        return Reply(200, part, {"Content-Type": "application/octet-stream"})


def an_attempt(given: Attempt) -> Attempt:
    """Return an attempt with random numbers, so that a program cannot guess them."""
    uid, start = f"{secrets.token_hex(4)}-c0de-4c0d-8c0d-{secrets.token_hex(6)}", secrets.choice(range(3, 10))
    head = JournalHead(run=start, last=0, versions=None)
    return {**given, "uid": uid, "start": start, "attempt": 2, "maxAttempts": 3, "journal": head, "result": None}


def _token() -> str:
    """Return a string that looks like a service account's token."""
    return f"eyJhbGciOiJub25lIn0.{secrets.token_urlsafe(48)}.{secrets.token_urlsafe(24)}"


def _read(model: type[Model], body: bytes, limit: int) -> Model:
    if len(body) > limit:
        raise Problem(413, "BodyTooLarge", f"The body has {len(body)} bytes; the limit is {limit}.")
    return parse(model, body)
