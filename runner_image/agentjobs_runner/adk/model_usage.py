"""Usage of model calls: tokens in answers, maximum usage of a request, and models' names for prices.

Pure; used by `model_steps`.
"""

from collections.abc import Iterable
from typing import Any, Final

from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.genai.types import Part

from agentjobs.models.names import Api, canonical
from agentjobs.models.tokens import MAX_TOKENS, Tokens
from agentjobs_runner.adk.agent_tree import is_a

# LiteLLM's name of an API, before a slash.
_LITELLM: Final = {"gemini": Api.GEMINI, "openai": Api.OPENAI, "anthropic": Api.ANTHROPIC}
_CLASSES: Final = (
    (Api.GEMINI, ("Gemini",)),
    (Api.OPENAI, ("OpenAILlm", "OpenAIResponsesLlm")),
    (Api.ANTHROPIC, ("AnthropicLlm",)),
)
# Text has at least four bytes per token in most languages; the estimate is rather high.
_BYTES_PER_TOKEN: Final = 3
# An image or a page; audio and video have more, and are counted in the answer.
_TOKENS_OF_DATA: Final = 2_000


def tokens_of(answer: LlmResponse) -> Tokens:
    """Return the usage in an answer."""
    usage = answer.usage_metadata
    if usage is None:
        return Tokens()
    given = _count(usage.prompt_token_count) + _count(usage.tool_use_prompt_token_count)
    answered, thought = _count(usage.candidates_token_count), _count(usage.thoughts_token_count)
    total = _count(usage.total_token_count)
    # Gemini excludes thoughts from the answer's count, OpenAI includes them, some hosts have them only in the total;
    # ADK passes these on unchanged: the total minus the prompt is output.
    output = max(answered, total - given) if total else answered + thought
    return Tokens(
        input=given,
        output=output,
        cached=_count(usage.cached_content_token_count),
        cache_written=_count(getattr(usage, "cache_creation_input_tokens", 0)),
        thinking=min(output, max(thought, output - answered)),
    )


def usage_of(answer: LlmResponse) -> dict[str, int]:
    """Return an answer's usage, by `contract.USAGE`."""
    tokens = tokens_of(answer)
    return {"llmCalls": 1, "inputTokens": tokens.input, "outputTokens": tokens.output}


def name_of(model: BaseLlm) -> str:
    """Return a model's name as in `agent.model`, also for a model built by user code."""
    if is_a(model, "LiteLlm"):
        provider, _, rest = model.model.partition("/")
        return canonical(_LITELLM[provider], rest) if provider in _LITELLM and rest else model.model
    api = next((api for api, names in _CLASSES if is_a(model, *names)), None)
    if api is None:
        return model.model
    # On Vertex AI a Gemini model's name may be its whole path.
    return canonical(api, model.model.rpartition("models/")[2] if api is Api.GEMINI else model.model)


def input_estimate(request: LlmRequest) -> int:
    """Return the estimated tokens of a request, rather too many."""
    config = request.config
    beside: list[Any] = [config.system_instruction, *(config.tools or ())] if config else []
    size = sum(len(_written(item)) for item in beside if item is not None)
    data = 0
    for part in _parts(request):
        if part.inline_data or part.file_data:
            data += _TOKENS_OF_DATA
        else:
            size += len(_written(part.text if part.text is not None else part))
    return size // _BYTES_PER_TOKEN + data + 1


def output_limit(request: LlmRequest) -> int | None:
    """Return a request's maximum output tokens; None without a limit."""
    config = request.config
    if config is None or not config.max_output_tokens:
        return None
    return config.max_output_tokens * (config.candidate_count or 1)


def _parts(request: LlmRequest) -> Iterable[Part]:
    return (part for content in request.contents for part in content.parts or ())


def _written(item: Any) -> bytes:
    text = item.model_dump_json(exclude_none=True) if hasattr(item, "model_dump_json") else str(item)
    return text.encode("utf-8", "replace")


def _count(value: Any) -> int:
    """A token count; implausible values are ignored."""
    return value if isinstance(value, int) and 0 <= value <= MAX_TOKENS else 0
