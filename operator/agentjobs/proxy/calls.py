"""One running call: what was sent and received, and from that how it is booked when it ends in any way."""

from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import msgspec

from agentjobs.history.model_records import MAX_CONTENT_BYTES, CallOutcome, EndedCall
from agentjobs.models.budget import NOTHING
from agentjobs.models.tokens import Tokens
from agentjobs.proxy.apis.api import ParsedRequest, UsageReader
from agentjobs.proxy.routing import Plan, Way

UNSENT: Final = Tokens()
# Hidden reasoning is billed. The fastest models produce a few hundred tokens per second.
THINKING_TOKENS_PER_SECOND: Final = 200


@dataclass(slots=True)
class Sent:
    """A request to a provider, and the received part of its answer."""

    way: Way
    status: int = 0
    reader: UsageReader | None = None
    """Reads the answer's usage, once there is an answer to pass on."""
    whole: bool = False
    """Whether the complete answer was received."""
    seconds: float = 0.0
    """From sending the request to the last byte, or until the pod disconnected."""


class Call:
    """A call, from planning to its end.

    Args:
        id: its id in the ledger.
        requested: the request of the pod's client.
        queue: the job's, for reports.
        keeps_content: whether its request and answer are recorded.
    """

    def __init__(
        self,
        id: UUID,  # noqa: A002  as in the ledger
        request: ParsedRequest,
        plan: Plan,
        *,
        queue: str,
        keeps_content: bool = False,
    ) -> None:
        self.id = id
        self.plan = plan
        self.sent: Sent | None = None
        """None before anything was sent, and after a provider rejected it."""
        self.refused: Sent | None = None
        """The last attempt that a provider rejected."""
        self.budget_wait = 0.0
        """Seconds."""
        self.limits_wait = 0.0
        """Seconds."""
        self.first_byte: float | None = None
        """Seconds from sending the request to the head of the last answer."""
        self.requested = plan.requested
        self.is_free = request.free
        self._streamed = request.streamed
        self._queue = queue
        self._request = request.body if keeps_content else None
        self._received = bytearray()

    def sends(self, way: Way) -> None:
        """Record that a request is sent."""
        self.sent = Sent(way)

    def fails(self, way: Way, status: int) -> None:
        """Record that the provider rejected it, or was unreachable (0)."""
        self.sent, self.refused = None, Sent(way, status)

    def answered(self, status: int, reader: UsageReader) -> None:
        """Record the beginning of an answer, which `reader` gets."""
        assert self.sent is not None
        self.sent.status, self.sent.reader = status, reader

    def lasts(self, seconds: float) -> None:
        """Record how long the provider has been working."""
        if self.sent is not None:
            self.sent.seconds = seconds

    def receive(self, piece: bytes) -> None:
        """Take a piece of the answer."""
        assert self.sent is not None
        assert self.sent.reader is not None
        self.sent.reader.feed(piece)
        if self._request is not None and len(self._received) <= MAX_CONTENT_BYTES:
            self._received += piece

    def complete(self) -> None:
        """Record the complete answer."""
        assert self.sent is not None
        self.sent.whole = True

    @property
    def outcome(self) -> CallOutcome:
        """Its ending, if it ended now."""
        if self.sent is None:
            return CallOutcome.FAILED
        return CallOutcome.ANSWERED if self.sent.whole else CallOutcome.CUT

    def used(self) -> tuple[Tokens, bool]:
        """Return its usage if it ended now, and whether that is an estimate."""
        if self.sent is None:
            return UNSENT, False
        reported = None if self.sent.reader is None else self.sent.reader.tokens()
        if reported is not None and self.sent.whole:
            return reported, False
        estimate = self._upper_bound(self.sent)
        if reported is None:
            return estimate, True
        # What a provider reported before the cut: the input is exact, the output is a lower bound.
        return replace(reported, output=max(reported.output, estimate.output)), True

    def used_of_limits(self) -> Tokens | None:
        """Return its usage of limits if it ended now, None if nothing was sent. A prompt without a count is booked
        as estimated, because other calls wait for the limit."""
        if self.sent is None:
            return None
        tokens, estimated = self.used()
        return replace(tokens, input=min(tokens.input, self.plan.tokens_in)) if estimated else tokens

    def end(self) -> EndedCall:
        """Return its end, if it ended now."""
        last = self.sent or self.refused
        tokens, estimated = self.used()
        cost = NOTHING if self.sent is None or self.is_free else self.sent.way.cost(tokens)
        if estimated:
            cost = min(cost, self.plan.max_cost)
        return EndedCall(
            id=self.id,
            outcome=self.outcome,
            status=last.status if last else 0,
            provider=last.way.provider.name if last else "",
            key=last.way.key.name if last else "",
            model=last.way.model if last else "",
            tokens=tokens,
            cost=cost,
            estimated=estimated,
            queue=self._queue,
            content=self._content(),
        )

    def _content(self) -> dict[str, Any] | None:
        if self._request is None:
            return None
        return {"request": _read(self._request), "answer": _read(bytes(self._received))}

    def _upper_bound(self, sent: Sent) -> Tokens:
        """An upper bound of its usage, from what passed by and the time it took: at most the reservation."""
        if sent.reader is None and not self._streamed:
            # A provider stops a stream without a reader, but completes an answer in one piece.
            return Tokens(self.plan.max_tokens_in, self.plan.tokens_out)
        received = 0 if sent.reader is None else sent.reader.received_output
        # A pod could repeatedly disconnect before the usage is sent.
        made = received if sent.whole else max(received, int(sent.seconds * THINKING_TOKENS_PER_SECOND))
        return Tokens(self.plan.max_tokens_in, min(made, self.plan.tokens_out))


def _read(text: bytes) -> Any:
    """Return JSON as a value, other content as text, None for nothing."""
    try:
        return msgspec.json.decode(text) if text else None
    except (msgspec.DecodeError, RecursionError):
        return text.decode("utf-8", "replace")
