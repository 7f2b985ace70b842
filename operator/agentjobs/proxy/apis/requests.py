"""What the requests of all APIs have in common: how a body is taken, and what is refused in each of them."""

from typing import Final

from agentjobs.proxy.apis.api import Place, Request
from agentjobs.proxy.apis.body import Json, Members, Unclear

# OpenAI's own limit; Gemini's is 8.
MAX_ANSWERS: Final = 128
# OpenRouter's `models`, `route`, `preset` and `plugins`, Anthropic's `fallbacks`, and what other hosts call them.
_OTHERS: Final = ("models", "fallbacks", "fallback_models", "route", "preset", "plugins")


def plain_body(request: Request) -> Json:
    """Return the body of a request.

    Raises:
        Unclear: it is compressed, or not UTF-8.
    """
    coding = next((value for name, value in request.headers.items() if name.lower() == "content-encoding"), "identity")
    if coding.strip().lower() not in ("", "identity"):
        raise Unclear("the body is compressed; send it plain")
    return Json.whole(request.body)


def check_answers(count: int | None) -> int:
    """Return how many answers are asked for: one where the request does not say.

    Raises:
        Unclear: more than any provider gives. What they may cost is reserved, and others would wait for it.
    """
    if count is not None and count > MAX_ANSWERS:
        raise Unclear(f"it asks for more than {MAX_ANSWERS} answers to one prompt")
    return count or 1


def check_tier(tier: Json | None) -> None:
    """Refuse tiers of service that cost more than the prices that are known.

    Raises:
        Unclear: it is one of those.
    """
    cheap = (b"auto", b"default", b"standard", b"standard_only", b"flex", b"unspecified", b"service_tier_unspecified")
    if tier is not None and tier.bytes.strip(b'"').lower() not in cheap:
        raise Unclear("the tier of service costs more than the prices that are known; use standard, default or flex")


def check_others(members: Members) -> None:
    """Refuse fields by which an API or a host of it asks another model than `model`, or what no price is known for.

    Raises:
        Unclear: there is one.
    """
    for name in _OTHERS:
        if members.find(name) is not None:
            said = f"'{name}' may ask other models than 'model'; the installation says what answers in its place"
            raise Unclear(said)


def check_tools(members: Members) -> None:
    """Refuse tools of the provider's that ask another model.

    Raises:
        Unclear: there is one.
    """
    tools = members.find("tools")
    for tool in tools.items() if tools is not None else ():
        if tool.is_object and tool.members().find("model") is not None:
            raise Unclear("a tool names a model of its own, which nobody would judge or count")


def place_of(members: Members, named: str, *, prefix: str = "") -> Place | None:
    """Return where an object names the model, None where it names none.

    Raises:
        Unclear: it names another one than the path does.
    """
    model = members.text("model")
    found = members.find("model")
    if model is None or found is None:
        return None
    if model.removeprefix(prefix) != named:
        raise Unclear("its path and its body name different models")
    return Place(found.begin, found.end, prefix if model.startswith(prefix) else "")
