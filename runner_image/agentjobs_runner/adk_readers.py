"""Makes ADK's own readers of OpenAI's answers strict, for models that user code builds itself.

They take the arguments of a call that are not a JSON object for no arguments, and the tool runs with its defaults:
`purge(prefix="")` removes everything. `openai_compatible` looks at answers before they are read; an `OpenAILlm` of a
module has a client of its own, so here the readers are told to refuse. Checked by tests against the ADK in use.
"""

import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any, Final

from agentjobs_runner.finishes import arguments

_CHAT: Final = "google.adk.integrations.openai._openai_llm"
_RESPONSES: Final = "google.adk.integrations.openai._openai_responses_llm"
_done: set[str] = set()


def make_strict() -> None:
    """Make those readers strict that are loaded by now; harmless to call again."""
    for name in {_CHAT, _RESPONSES} - _done:
        module = sys.modules.get(name)
        if module is not None:
            _done.add(name)
            _replace(name, module)


def _replace(name: str, module: ModuleType) -> None:
    if name == _RESPONSES:
        module._loads_json_object = _object  # type: ignore[attr-defined]
        return
    # Both of its readers call json.loads for nothing else.
    module.json = SimpleNamespace(  # type: ignore[attr-defined]
        loads=_object, dumps=json.dumps, JSONDecodeError=json.JSONDecodeError
    )


def _object(written: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(arguments("", written))
    return found
