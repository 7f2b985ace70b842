"""From a job's model name to ADK's model object.

ADK's registry would use LiteLLM or Vertex for most names; here a name has the meaning in the field's description, or is
rejected. Retries inside SDKs stay off: the operator retries, visibly and within limits. A provider's client is only
loaded if needed.
"""

import re
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any, Final

from google.adk.models.base_llm import BaseLlm
from google.adk.models.registry import LLMRegistry

from agentjobs_runner.adk.scripted import PREFIX, ScriptCursor, ScriptedModel, install
from agentjobs_runner.endings import config_invalid

GEMINI: Final = "gemini-"
# Any of the provider's models, in LiteLLM's notation. LiteLLM itself would bypass the model proxy.
_GEMINI_API: Final = "gemini/"
OPENAI: Final = "openai/"
ANTHROPIC: Final = "anthropic/"
# Prefixes of well-known names without a provider, and their meaning.
_KNOWN: Final = {"gpt-": OPENAI, "o1": OPENAI, "o3": OPENAI, "o4": OPENAI, "claude-": ANTHROPIC}


class Models:
    """The models of one start.

    Args:
        aliases: the installation's aliases, and the model of each.
    """

    def __init__(self, stage: ScriptCursor, aliases: Mapping[str, str]) -> None:
        self._stage = stage
        self._aliases = aliases
        install(stage)
        # User code may also name a script (`LlmAgent(model="scripted/…")`), so ADK's registry must support it.
        LLMRegistry.register(ScriptedModel)
        LLMRegistry.register(_named_in_code(self, aliases))

    def resolve(self, name: str, field: str) -> BaseLlm:
        """Return the model `name` of the job's `field`.

        Raises:
            StartEnded: ConfigInvalid if the name is unknown, or the script is missing or invalid.
        """
        name = self._aliases.get(name, name)
        if name.startswith(PREFIX):
            self._stage.open(name.removeprefix(PREFIX))
            return ScriptedModel(model=name)
        if name.startswith((GEMINI, _GEMINI_API)) and name != _GEMINI_API:
            from google.adk.models.google_llm import Gemini  # imported here: scripted jobs do not need it

            return Gemini(model=name.removeprefix(_GEMINI_API))
        provider, slash, rest = name.partition("/")
        if not (provider and slash and rest):
            raise config_invalid(f"{field}: model {name!r} is unknown; use {_suggestion(name)}")
        return _of_provider(name, rest, field, self._aliases)


def _named_in_code(models: Models, aliases: Iterable[str]) -> type[BaseLlm]:
    """Return the class that ADK uses for names such as `openai/gpt-4o` in code; otherwise ADK would need LiteLLM."""

    class Named(BaseLlm):
        """Creates the model that a job would get for the same name."""

        def __new__(cls, *, model: str) -> Any:
            """Return that model, which has another class."""
            return models.resolve(model, "the agent's code")

        @classmethod
        def supported_models(cls) -> list[str]:
            """The patterns; ADK tries its own first, including LiteLLM's."""
            return [f"(?:{_GEMINI_API}).+", f"(?:{OPENAI}).+", f"(?:{ANTHROPIC}).+", *map(re.escape, aliases)]

    return Named


def _of_provider(name: str, rest: str, field: str, aliases: Iterable[str]) -> BaseLlm:
    if name.startswith(OPENAI):
        _require("openai", name, field)
        from agentjobs_runner.adk import openai_compatible  # see above

        return openai_compatible.make(rest, field)
    if name.startswith(ANTHROPIC):
        _require("anthropic", name, field)
        from agentjobs_runner.adk import anthropic_api  # see above

        return anthropic_api.make(rest, field)
    _require("litellm", name, field, aliases)
    from google.adk.models.lite_llm import LiteLlm  # see above; two seconds

    return LiteLlm(model=name, max_retries=0, num_retries=0)


def _require(package: str, name: str, field: str, aliases: Iterable[str] = ()) -> None:
    if find_spec(package) is None:
        # A name in LiteLLM's format may be a misspelled alias.
        known = ", ".join(sorted(aliases))
        alias = f"is not an alias of the installation ({known}) and " if known else ""
        raise config_invalid(
            f"{field}: model {name!r} {alias}needs the package {package}, which this image lacks; "
            f"install agentjobs[{package}] in the image and name it in runtime.image"
        )


def _suggestion(name: str) -> str:
    for known, provider in _KNOWN.items():
        if name.startswith(known):
            return f"{provider}{name}"
    return f"{GEMINI}… (e.g. gemini-flash-latest), {OPENAI}…, {ANTHROPIC}…, or {PREFIX}<configmap>/<key>"
