"""How tests of history make model calls: as a proxy does, with what a test is about."""

from decimal import Decimal
from uuid import UUID, uuid4

from agentjobs.history.model_records import CallOutcome, EndedCall, NewCall
from agentjobs.models.budget import Limits
from agentjobs.models.tokens import Tokens


def a_call_of(
    uid: str = "uid-1",
    *,
    start: int = 1,
    limits: Limits | None = None,
    cost: str = "1",
    tokens: int = 100,
    call: UUID | None = None,
    **more: str,
) -> NewCall:
    """A call by the pod `pod-<start>`, through `proxy-a`."""
    given = {"pod_uid": f"pod-{start}", "proxy": "proxy-a", "step": "a", "requested": "gemini-fast"} | more
    return NewCall(
        id=call or uuid4(), uid=uid, start=start, limits=limits or Limits(), tokens=tokens, cost=Decimal(cost), **given
    )


def the_end_of(
    call: NewCall,
    *,
    outcome: CallOutcome = CallOutcome.ANSWERED,
    cost: str = "0.5",
    tokens: Tokens | None = None,
    model: str = "gemini-2.5-flash",
    queue: str = "agents",
) -> EndedCall:
    """How a call ended; 10 tokens in and 5 out unless the test says otherwise."""
    used = Tokens(input=10, output=5) if tokens is None else tokens
    return EndedCall(call.id, outcome, 200, "google", "key-1", model, used, Decimal(cost), queue=queue)
