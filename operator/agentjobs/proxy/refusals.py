"""The proxy's error responses: each has the cure, none has a secret."""

from collections.abc import Mapping
from typing import Final

from agentjobs import errors
from agentjobs.contract import ErrorClass
from agentjobs.history.model_records import Reserved
from agentjobs.models.budget import Limits
from agentjobs.models.queue_limits import queue_of
from agentjobs.problem import Problem
from agentjobs.proxy.apis.api import CallRefusal
from agentjobs.proxy.routing import Way

_RETRY_SECONDS: Final = 2.0
_CLASSES: Final[Mapping[int, ErrorClass]] = {
    401: ErrorClass.MODEL_AUTH,
    403: ErrorClass.MODEL_AUTH,
    429: ErrorClass.MODEL_RATE_LIMITED,
    503: ErrorClass.MODEL_UNAVAILABLE,
}


class Refused(Exception):
    """A request is rejected."""

    def __init__(self, refusal: CallRefusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def of_problem(problem: Problem) -> CallRefusal:
    """Return the response for one of our problems."""
    later = problem.headers.get("Retry-After")
    kind = _CLASSES.get(problem.status, ErrorClass.MODEL_BAD_REQUEST)
    return CallRefusal(problem.status, kind, problem.message, None if later is None else float(later))


def of_error(error: errors.AgentJobsError) -> CallRefusal:
    """Return the response for an error of the database or the API server. The proxy fails closed."""
    if isinstance(error, errors.Fenced | errors.NotFound):
        message = "Another pod holds this start, or it has ended; this pod must stop."
        return CallRefusal(409, ErrorClass.INTERRUPTED, message)
    if isinstance(error, errors.Invalid):
        return CallRefusal(400, ErrorClass.MODEL_BAD_REQUEST, "The call cannot be recorded: its fields are invalid.")
    message = "The database or the API server is unavailable, and the proxy makes no calls that it cannot record."
    return CallRefusal(503, ErrorClass.MODEL_UNAVAILABLE, message, _RETRY_SECONDS)


def budget_spent(limits: Limits, reserved: Reserved) -> CallRefusal:
    """A limit of the job's budget is already used up."""
    name = reserved.judgement.limit
    used = limits.used_of(name, reserved.spent)
    message = f"budget.{name} is reached: {used} used. Raise it to let the job continue."
    return CallRefusal(402, ErrorClass.BUDGET_EXCEEDED, message)


def budget_reserved(reserved: Reserved, waited: float) -> CallRefusal:
    """Other calls of the job may need the rest of its budget, and did not end in time."""
    message = (
        f"Running calls of this job have reserved the rest of budget.{reserved.judgement.limit}; they did "
        f"not end within {waited:.0f} s."
    )
    return CallRefusal(429, ErrorClass.MODEL_RATE_LIMITED, message, _RETRY_SECONDS)


def no_turn(model: str, limit: str, retry_after: float) -> CallRefusal:
    """The limits of a model's keys, or of the job's queue, have no capacity in time."""
    if (queue := queue_of(limit)) is not None:
        _, models, field = limit.split(" ")
        message = (
            f"Queue {queue} has no capacity for this call of model {model} in time (modelLimits {models}: {field})."
        )
        return CallRefusal(429, ErrorClass.MODEL_RATE_LIMITED, message, retry_after)
    message = f"The limits for model {model} have no capacity for this call in time ({limit})."
    return CallRefusal(429, ErrorClass.MODEL_RATE_LIMITED, message, retry_after)


def later(way: Way, status: int, seconds: float) -> CallRefusal:
    """A provider requests a long wait, and the client cannot see how long."""
    message = f"Provider {way.provider.name} answered {status} and requests a pause of {seconds:.0f} s."
    # For any status: clients do not wait so long with this one.
    return CallRefusal(429, ErrorClass.MODEL_RATE_LIMITED, message, seconds)


def bad_key(way: Way, status: int) -> CallRefusal:
    """A provider rejects a key."""
    place = way.key.source.place if way.key.source is not None else "the credentials of the proxy"
    message = (
        f"Provider {way.provider.name} rejected key {way.key.name} ({place}): it answered {status}. Put a valid "
        "key there; no restart is needed."
    )
    return CallRefusal(status, ErrorClass.MODEL_AUTH, message)


def no_key(way: Way, error: errors.AgentJobsError) -> CallRefusal:
    """A key is missing or invalid, or no access token is available."""
    if isinstance(error, errors.Unavailable):
        return CallRefusal(503, ErrorClass.MODEL_UNAVAILABLE, f"Provider {way.provider.name}: {error}.", _RETRY_SECONDS)
    message = f"Provider {way.provider.name} has no key {way.key.name}: {error}. Put it there; no restart is needed."
    return CallRefusal(403, ErrorClass.MODEL_AUTH, message)


def unreached(way: Way, why: str, *, in_time: bool) -> CallRefusal:
    """A provider gave no usable answer."""
    kind = ErrorClass.MODEL_UNAVAILABLE if in_time else ErrorClass.MODEL_TIMEOUT
    message = f"Provider {way.provider.name} did not answer: {why}."
    return CallRefusal(502 if in_time else 504, kind, message, _RETRY_SECONDS)


def cut_short(way: Way, why: str, *, in_time: bool) -> CallRefusal:
    """A provider's answer was incomplete."""
    kind = ErrorClass.MODEL_UNAVAILABLE if in_time else ErrorClass.MODEL_TIMEOUT
    message = f"The answer of provider {way.provider.name} is incomplete: {why}."
    return CallRefusal(502 if in_time else 504, kind, message, _RETRY_SECONDS)


def unexpected_answer(way: Way, status: int, why: str) -> CallRefusal:
    """A provider's response does not match its API."""
    message = f"Provider {way.provider.name} answered {status}, {why}; check its baseUrl."
    return CallRefusal(502, ErrorClass.MODEL_UNAVAILABLE, message, _RETRY_SECONDS)
