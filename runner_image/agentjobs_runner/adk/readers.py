"""Makes ADK's parsers of providers' answers strict, for models that user code builds itself.

OpenAI's treats arguments that are not a JSON object as none, so the tool runs with defaults: `purge(prefix="")` removes
everything. LiteLLM's repairs them: `{prefix: tmp}`, Python literals, a Markdown block. Anthropic's treats a paused turn
as an end. `openai_compatible` and `anthropic_api` check answers before parsing; a model of a module has its own client,
so the parsers are patched here. Tests check this against the installed ADK.
"""

import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any, Final

from google.genai.types import FinishReason

from agentjobs_runner.adk.finish_reasons import arguments
from agentjobs_runner.endings import StartEnded

_CHAT: Final = "google.adk.integrations.openai._openai_llm"
_CLAUDE: Final = "google.adk.models.anthropic_llm"
_LITELLM: Final = "google.adk.models.lite_llm"
_RESPONSES: Final = "google.adk.integrations.openai._openai_responses_llm"
_done: set[str] = set()


def make_strict() -> None:
    """Make the loaded parsers strict; may be called again."""
    for name in {_CHAT, _CLAUDE, _LITELLM, _RESPONSES} - _done:
        module = sys.modules.get(name)
        if module is not None:
            _done.add(name)
            _replace(name, module)


def _replace(name: str, module: ModuleType) -> None:
    if name == _RESPONSES:
        module._loads_json_object = _object  # type: ignore[attr-defined]
    elif name == _LITELLM:
        module._parse_tool_call_arguments = _parsed  # type: ignore[attr-defined]
    elif name == _CLAUDE:
        module._STOP_REASON_MAPPING |= {  # type: ignore[attr-defined]
            "pause_turn": FinishReason.OTHER,
            "model_context_window_exceeded": FinishReason.MAX_TOKENS,
        }
        module._json_utils = SimpleNamespace(safe_json_loads=_object)  # type: ignore[attr-defined]
    else:
        # Both of its parsers use json.loads only for this.
        module.json = SimpleNamespace(  # type: ignore[attr-defined]
            loads=_object, dumps=json.dumps, JSONDecodeError=json.JSONDecodeError
        )


def _object(written: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(arguments("", written))
    return found


def _parsed(written: Any, *, function_name: str | None = None) -> dict[str, Any]:
    # The parser turns this error into MAX_TOKENS or MALFORMED_FUNCTION_CALL, without calls.
    try:
        return _object(written)
    except StartEnded as refused:
        raise json.JSONDecodeError(str(refused), str(written), 0) from None
