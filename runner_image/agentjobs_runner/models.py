"""From a model's name in a job to ADK's model object.

ADK's own registry would send most names to LiteLLM or Vertex; here a name means what the field's description says, or
is refused at once. Retries inside an SDK stay off: a retry is the operator's, where it is seen, limited and recorded.
"""

from typing import Final

from google.adk.models.base_llm import BaseLlm
from google.adk.models.registry import LLMRegistry

from agentjobs_runner.endings import config_invalid
from agentjobs_runner.scripted import PREFIX, ScriptedModel, Stage, install

GEMINI: Final = "gemini-"


class Models:
    """The models of one start."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        install(stage)
        # User code may name a script as well (`LlmAgent(model="scripted/…")`), so ADK's registry must know it.
        LLMRegistry.register(ScriptedModel)

    def resolve(self, name: str, field: str) -> BaseLlm:
        """Return the model `name`, which stands in `field` of the job.

        Raises:
            Ended: ConfigInvalid when no known form fits, or the script is missing or malformed.
        """
        if name.startswith(PREFIX):
            self._stage.open(name.removeprefix(PREFIX))
            return ScriptedModel(model=name)
        if name.startswith(GEMINI):
            from google.adk.models.google_llm import Gemini  # only here: scripted jobs need not load it

            return Gemini(model=name)
        raise config_invalid(
            f"{field}: model {name!r} is unknown; use {GEMINI}… (e.g. gemini-flash-latest) or {PREFIX}<configmap>/<key>"
        )
