"""Vertex AI: Google's models with the Gemini API's requests, and Anthropic's models with Anthropic's.

Project and location are the installation's, like the credentials; a pod cannot choose them.
"""

import re
from dataclasses import replace
from typing import Final

from agentjobs.models.names import Kind, check
from agentjobs.proxy.apis.anthropic import AnthropicMeter, parse_messages
from agentjobs.proxy.apis.api import CallRefusal, Operation, ParsedRequest, Request, UsageReader
from agentjobs.proxy.apis.body import RejectedBody
from agentjobs.proxy.apis.gemini import OPERATIONS, GeminiMeter, parse_content
from agentjobs.proxy.apis.refusals import anthropic_error, bad_request, document, event, google_error, no_such_path
from agentjobs.proxy.apis.usage import Reader

_PATH: Final = re.compile(
    r"/(v1|v1beta1)(?:/projects/[^/?#%\\]+/locations/[^/?#%\\]+)?"
    r"/publishers/([A-Za-z0-9-]+)/models/([^/:?#%\\]+):([A-Za-z]+)"
)
_RAW: Final = {"rawPredict", "streamRawPredict"}
# Instead of the model, when tokens of a request to Anthropic's models are counted.
_COUNT: Final = "count-tokens"


class VertexApi:
    """See `api.Api`."""

    kind: Final = Kind.VERTEX_AI
    delay_in_code: Final = False

    def read(self, request: Request) -> ParsedRequest | CallRefusal:
        """Parse a request."""
        found = _PATH.fullmatch(request.path) if request.method == "POST" else None
        if found is None:
            return no_such_path()
        version, publisher, model, verb = found.groups()
        try:
            return _read(request, version, publisher, check(model), verb) or no_such_path()
        except (RejectedBody, ValueError) as error:
            return bad_request(str(error))

    def usage_reader(self, request: ParsedRequest) -> UsageReader:
        """Return a reader of the successful answer to a request."""
        return Reader(AnthropicMeter() if _is_raw(request) else GeminiMeter(), free=request.free)

    def refusal_body(self, refusal: CallRefusal) -> bytes:
        """Return an error in Google's format, which Anthropic's clients understand on Vertex AI, too."""
        return document({"type": "error", "error": google_error(refusal) | anthropic_error(refusal)})

    def refusal_event(self, refusal: CallRefusal) -> bytes:
        """Return an error as an event of a stream."""
        return event({"type": "error", "error": google_error(refusal) | anthropic_error(refusal)}, name="error")


def _read(request: Request, version: str, publisher: str, model: str, verb: str) -> ParsedRequest | None:
    path = f"/{version}/projects/{{project}}/locations/{{location}}/{{model}}:{verb}"
    if publisher == "anthropic" and model == _COUNT and verb == "rawPredict":
        path = path.replace("{model}", f"publishers/anthropic/models/{_COUNT}")
        parsed = parse_messages(request, kind=Kind.VERTEX_AI, operation=Operation.COUNT, path=path)
        # For counting, Vertex AI rejects some names of betas that it accepts for messages; the count is the same.
        headers = {name: value for name, value in parsed.headers.items() if name != "anthropic-beta"}
        return replace(parsed, headers=headers)
    # Another publisher may be part of an alias: clients turn `team/fast` into `publishers/team/models/fast`.
    named = model if publisher == "google" else f"{publisher}/{model}"
    if publisher == "anthropic" and verb in _RAW:
        return parse_messages(request, kind=Kind.VERTEX_AI, operation=Operation.GENERATE, path=path, named=named)
    if publisher == "anthropic" or verb not in OPERATIONS:
        return None
    streamed = verb.startswith("stream")
    return parse_content(
        request, kind=Kind.VERTEX_AI, operation=OPERATIONS[verb], named=named, path=path, streamed=streamed
    )


def _is_raw(request: ParsedRequest) -> bool:
    return request.path.rpartition(":")[2] in _RAW
