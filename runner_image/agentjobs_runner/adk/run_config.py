"""From a job's `agent.runConfig` to ADK's RunConfig. Called by `engine` once per start."""

import sys
from collections.abc import Mapping
from typing import Any, Final

from google.adk.agents import run_config as adk
from pydantic import ValidationError

from agentjobs_runner.endings import config_invalid
from agentjobs_runner.modules import first_problems

# More than any run has. ADK would warn each time about 0, which means no limit.
_NO_LIMIT: Final = sys.maxsize - 1


def leave_calls_to_budget() -> None:
    """Remove ADK's default limit of 500 model calls unless the job sets one: budgets are the limit."""
    adk._DEFAULT_MAX_LLM_CALLS = _NO_LIMIT


def run_config(given: Mapping[str, Any]) -> adk.RunConfig | None:
    """Return ADK's settings of a run, or None for ADK's defaults.

    Raises:
        StartEnded: ConfigInvalid if this image's ADK rejects a key or a value.
    """
    if not given:
        return None
    settings = dict(given)
    mode = settings.get("streaming_mode")
    modes: Any = adk.RunConfig.model_fields["streaming_mode"].annotation
    if isinstance(mode, str) and mode in modes.__members__:
        # ADK's values are None, "sse" and "bidi"; the job has the members' names, which are distinct in YAML.
        settings["streaming_mode"] = modes[mode]
    try:
        return adk.RunConfig(**settings)
    except ValidationError as error:
        known = ", ".join(sorted(adk.RunConfig.model_fields))
        raise config_invalid(
            f"agent.runConfig: ADK rejects it: {first_problems(error)}; its settings are {known}"
        ) from error
