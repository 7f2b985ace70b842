"""One call while it is made: what of it was sent and came, and hence what it is booked as when it ends, however."""

from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

import msgspec

from agentjobs.history.model_records import MAX_CONTENT_BYTES, CallOutcome, EndedCall
from agentjobs.models.budget import NOTHING
from agentjobs.models.tokens import Tokens
from agentjobs.proxy.apis.api import Asked, UsageReader
from agentjobs.proxy.routing import Plan, Way

UNSENT: Final = Tokens()
# What models think is not shown, and is paid for. The fastest make some hundred tokens in a second.
THINKING_TOKENS_PER_SECOND: Final = 200


@dataclass(slots=True)
class Sent:
    """A request that is on its way to a provider, and its answer as far as it came."""

    way: Way
    status: int = 0
    reader: UsageReader | None = None
    """Of the answer, once there is one that is to be passed on."""
    whole: bool = False
    """Whether the answer came to its end."""
    seconds: float = 0.0
    """From sending to the last of it, or until the pod hung up."""


class Call:
    """A call, from when it is planned to its end.

    Args:
        id: names it in the ledger.
        asked: what the pod's client asked for.
        queue: of the job, for reports.
        keeps_content: whether request and answer are recorded with it.
    """

    def __init__(
        self,
        id: UUID,  # noqa: A002  as in the ledger
        asked: Asked,
        plan: Plan,
        *,
        queue: str,
        keeps_content: bool = False,
    ) -> None:
        self.id = id
        self.plan = plan
        self.sent: Sent | None = None
        """None before anything was sent, and after a provider refused what was."""
        self.refused: Sent | None = None
        """The last that a provider refused."""
        self.budget_wait = 0.0
        """Seconds."""
        self.limits_wait = 0.0
        """Seconds."""
        self.first_byte: float | None = None
        """Seconds from sending to the head of the last answer."""
        self.asked = plan.asked
        self.is_free = asked.free
        self._streamed = asked.streamed
        self._queue = queue
        self._request = asked.body if keeps_content else None
        self._came = bytearray()

    def sends(self, way: Way) -> None:
        """Note that a request leaves."""
        self.sent = Sent(way)

    def fails(self, way: Way, status: int) -> None:
        """Note that the provider refused it, or could not be reached (0)."""
        self.sent, self.refused = None, Sent(way, status)

    def answered(self, status: int, reader: UsageReader) -> None:
        """Note that an answer begins; `reader` sees it."""
        assert self.sent is not None
        self.sent.status, self.sent.reader = status, reader

    def lasts(self, seconds: float) -> None:
        """Note for how long the provider has been at it."""
        if self.sent is not None:
            self.sent.seconds = seconds

    def comes(self, piece: bytes) -> None:
        """Take a piece of the answer."""
        assert self.sent is not None
        assert self.sent.reader is not None
        self.sent.reader.feed(piece)
        if self._request is not None and len(self._came) <= MAX_CONTENT_BYTES:
            self._came += piece

    def comes_whole(self) -> None:
        """Note that all of the answer came."""
        assert self.sent is not None
        self.sent.whole = True

    @property
    def outcome(self) -> CallOutcome:
        """How it ends if it ends now."""
        if self.sent is None:
            return CallOutcome.FAILED
        return CallOutcome.ANSWERED if self.sent.whole else CallOutcome.CUT

    def used(self) -> tuple[Tokens, bool]:
        """Return what it used if it ends now, and whether that is an estimate."""
        if self.sent is None:
            return UNSENT, False
        told = None if self.sent.reader is None else self.sent.reader.tokens()
        if told is not None and self.sent.whole:
            return told, False
        seen = self._seen(self.sent)
        if told is None:
            return seen, True
        # What a provider told before the answer was cut: the input for certain, of the output what it was by then.
        return replace(told, output=max(told.output, seen.output)), True

    def used_of_limits(self) -> Tokens | None:
        """Return what it used of limits if it ends now, None when nothing was sent. Others wait for what is booked
        there, so a prompt that nobody measured counts as it was estimated."""
        if self.sent is None:
            return None
        tokens, estimated = self.used()
        return replace(tokens, input=min(tokens.input, self.plan.tokens_in)) if estimated else tokens

    def end(self) -> EndedCall:
        """Return its end, if it ends now."""
        told = self.sent or self.refused
        tokens, estimated = self.used()
        cost = NOTHING if self.sent is None or self.is_free else self.sent.way.cost(tokens)
        if estimated:
            cost = min(cost, self.plan.most)
        return EndedCall(
            id=self.id,
            outcome=self.outcome,
            status=told.status if told else 0,
            provider=told.way.provider.name if told else "",
            key=told.way.key.name if told else "",
            model=told.way.model if told else "",
            tokens=tokens,
            cost=cost,
            estimated=estimated,
            queue=self._queue,
            content=self._content(),
        )

    def _content(self) -> dict[str, Any] | None:
        if self._request is None:
            return None
        return {"request": _read(self._request), "answer": _read(bytes(self._came))}

    def _seen(self, sent: Sent) -> Tokens:
        """What it may have used by what passed by and how long that took: at most what was reserved."""
        if sent.reader is None and not self._streamed:
            # A provider stops a stream that nobody reads. An answer in one piece may be made to its end for nobody.
            return Tokens(self.plan.tokens_in_most, self.plan.tokens_out)
        came = 0 if sent.reader is None else sent.reader.output_seen
        # A pod can hang up before the usage is told, and again and again.
        made = came if sent.whole else max(came, int(sent.seconds * THINKING_TOKENS_PER_SECOND))
        return Tokens(self.plan.tokens_in_most, min(made, self.plan.tokens_out))


def _read(text: bytes) -> Any:
    """Return JSON as what it says, all else as text, None for nothing."""
    try:
        return msgspec.json.decode(text) if text else None
    except (msgspec.DecodeError, RecursionError):
        return text.decode("utf-8", "replace")
