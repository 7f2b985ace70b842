"""From a model's name in a job to ADK's model object.

ADK's own registry would send most names to LiteLLM or Vertex; here a name means what the field's description says, or
is refused at once. Retries inside an SDK stay off: a retry is the operator's, where it is seen, limited and recorded.
Each provider's client is loaded only by the jobs that use it.
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
# The provider's models by any name, as LiteLLM writes it. LiteLLM itself would pass the model proxy by.
_GEMINI_API: Final = "gemini/"
OPENAI: Final = "openai/"
ANTHROPIC: Final = "anthropic/"
# First letters of names that people know without their provider, and what they mean.
_KNOWN: Final = {"gpt-": OPENAI, "o1": OPENAI, "o3": OPENAI, "o4": OPENAI, "claude-": ANTHROPIC}


class Models:
    """The models of one start.

    Args:
        aliases: names of the installation, and the model that each stands for.
    """

    def __init__(self, stage: ScriptCursor, aliases: Mapping[str, str]) -> None:
        self._stage = stage
        self._aliases = aliases
        install(stage)
        # User code may name a script as well (`LlmAgent(model="scripted/…")`), so ADK's registry must know it.
        LLMRegistry.register(ScriptedModel)
        LLMRegistry.register(_named_in_code(self, aliases))

    def resolve(self, name: str, field: str) -> BaseLlm:
        """Return the model `name`, which stands in `field` of the job.

        Raises:
            StartEnded: ConfigInvalid when no known form fits, or the script is missing or malformed.
        """
        name = self._aliases.get(name, name)
        if name.startswith(PREFIX):
            self._stage.open(name.removeprefix(PREFIX))
            return ScriptedModel(model=name)
        if name.startswith((GEMINI, _GEMINI_API)) and name != _GEMINI_API:
            from google.adk.models.google_llm import Gemini  # only here: scripted jobs need not load it

            return Gemini(model=name.removeprefix(_GEMINI_API))
        provider, slash, rest = name.partition("/")
        if not (provider and slash and rest):
            raise config_invalid(f"{field}: model {name!r} is unknown; use {_suggestion(name)}")
        return _of_provider(name, rest, field, self._aliases)


def _named_in_code(models: Models, aliases: Iterable[str]) -> type[BaseLlm]:
    """Return the class that ADK uses for a name such as `openai/gpt-4o` in code; without it ADK would need LiteLLM."""

    class Named(BaseLlm):
        """Stands for the model that a job would get by the same name."""

        def __new__(cls, *, model: str) -> Any:
            """Return that model, which is of another class."""
            return models.resolve(model, "the agent's code")

        @classmethod
        def supported_models(cls) -> list[str]:
            """The names; ADK asks what it knows itself first, LiteLLM among them."""
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
        # A name that looks like LiteLLM's may be an alias with a slip.
        known = ", ".join(sorted(aliases))
        alias = f"is no alias of the installation ({known}) and " if known else ""
        raise config_invalid(
            f"{field}: model {name!r} {alias}needs the package {package}, which this image lacks; "
            f"install agentjobs[{package}] in the image and name it in runtime.image"
        )


def _suggestion(name: str) -> str:
    for known, provider in _KNOWN.items():
        if name.startswith(known):
            return f"{provider}{name}"
    return f"{GEMINI}… (e.g. gemini-flash-latest), {OPENAI}…, {ANTHROPIC}…, or {PREFIX}<configmap>/<key>"
