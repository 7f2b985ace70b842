"""What the proxy knows of the providers' APIs: which requests they have, what an answer used, how a refusal looks.

Pure; nothing here asks anybody. A provider's API is a module with its paths, requests and answers; all the rest is
shared.

api          the values: what is asked, refused, used; the protocol of an API
gemini       Google's Gemini API
vertex       Vertex AI, with Google's and Anthropic's models
openai       OpenAI's API, and that of hosts that speak it
anthropic    Anthropic's API
requests     what is taken and refused in the requests of all
body         where a request's body says what
headers      which headers pass
estimate     tokens that nobody has counted yet
answers      the documents of an answer that passes by
usage        what an answer used
refusals     refusals in each provider's shape
"""

from agentjobs import contract
from agentjobs.proxy.apis.anthropic import AnthropicApi
from agentjobs.proxy.apis.api import Api
from agentjobs.proxy.apis.gemini import GeminiApi
from agentjobs.proxy.apis.openai import OpenAIApi
from agentjobs.proxy.apis.vertex import VertexApi

__all__ = ["find"]

_APIS: tuple[tuple[str, Api], ...] = (
    (contract.MODELS_GEMINI, GeminiApi()),
    (contract.MODELS_VERTEX, VertexApi()),
    (contract.MODELS_OPENAI, OpenAIApi()),
    (contract.MODELS_ANTHROPIC, AnthropicApi()),
)


def find(path: str) -> tuple[Api, str] | None:
    """Return the API that a path of the proxy belongs to, and the path below the API's own; None for no API.

    Args:
        path: as it was sent, not decoded, without the query.
    """
    return next(((api, path[len(below) :]) for below, api in _APIS if path.startswith(f"{below}/")), None)
