"""The providers' APIs: their requests, the usage in their answers, and the format of their errors.

Pure, without I/O. Each API is a module with its paths, requests and answers; the rest is shared.

api          values: request, rejection, usage; the protocol of an API
gemini       Google's Gemini API
vertex       Vertex AI, with Google's and Anthropic's models
openai       OpenAI's API, and compatible hosts
anthropic    Anthropic's API
requests     common rules for requests
body         finds fields in a request's body
headers      the headers that are passed on
estimate     estimates of tokens
answers      splits a passing answer into documents
usage        usage in an answer
refusals     error responses in each provider's format
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
    """Return the API that a path of the proxy belongs to, and the rest of the path; None for no API.

    Args:
        path: as sent, not decoded, without the query.
    """
    return next(((api, path[len(below) :]) for below, api in _APIS if path.startswith(f"{below}/")), None)
