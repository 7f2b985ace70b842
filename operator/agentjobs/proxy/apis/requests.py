"""Common rules for requests of all APIs: parsing of bodies, and rejected fields."""

from typing import Final

from agentjobs.proxy.apis.api import Place, Request
from agentjobs.proxy.apis.body import Json, Members, RejectedBody

# OpenAI's own limit; Gemini's is 8.
MAX_ANSWERS: Final = 128
# OpenRouter's `models`, `route`, `preset` and `plugins`, Anthropic's `fallbacks`, and other hosts' names.
_OTHERS: Final = ("models", "fallbacks", "fallback_models", "route", "preset", "plugins")


def plain_body(request: Request) -> Json:
    """Return the body of a request.

    Raises:
        RejectedBody: it is compressed, or not UTF-8.
    """
    coding = next((value for name, value in request.headers.items() if name.lower() == "content-encoding"), "identity")
    if coding.strip().lower() not in ("", "identity"):
        raise RejectedBody("the body is compressed; send it uncompressed")
    return Json.whole(request.body)


def check_answers(count: int | None) -> int:
    """Return the number of requested answers, by default one.

    Raises:
        RejectedBody: more than any provider supports. Their cost would be reserved, and other calls would wait for it.
    """
    if count is not None and count > MAX_ANSWERS:
        raise RejectedBody(f"it requests more than {MAX_ANSWERS} answers to one prompt")
    return count or 1


def check_tier(tier: Json | None) -> None:
    """Reject service tiers that cost more than the known prices.

    Raises:
        RejectedBody: it has one of those.
    """
    cheap = (b"auto", b"default", b"standard", b"standard_only", b"flex", b"unspecified", b"service_tier_unspecified")
    if tier is not None and tier.bytes.strip(b'"').lower() not in cheap:
        raise RejectedBody("the service tier costs more than the known prices; use standard, default or flex")


def check_others(members: Members) -> None:
    """Reject fields that call models other than `model`, or that have no known price.

    Raises:
        RejectedBody: it has one.
    """
    for name in _OTHERS:
        if members.find(name) is not None:
            message = f"'{name}' may call models other than 'model'; fallbacks are configured by the installation"
            raise RejectedBody(message)


def check_tools(members: Members) -> None:
    """Reject provider tools that call another model.

    Raises:
        RejectedBody: it has one.
    """
    tools = members.find("tools")
    for tool in tools.items() if tools is not None else ():
        if tool.is_object and tool.members().find("model") is not None:
            raise RejectedBody("a tool has its own model, which would not be checked or counted")


def place_of(members: Members, named: str, *, prefix: str = "") -> Place | None:
    """Return the position of the model in an object, None without one.

    Raises:
        RejectedBody: it is not the model in the path.
    """
    model = members.text("model")
    found = members.find("model")
    if model is None or found is None:
        return None
    if model.removeprefix(prefix) != named:
        raise RejectedBody("its path and its body have different models")
    return Place(found.begin, found.end, prefix if model.startswith(prefix) else "")
