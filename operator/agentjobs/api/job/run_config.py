"""Rules about `agent.runConfig`: which settings of ADK's RunConfig a job may set.

The operator does not load ADK, so the keys are listed here; a test compares them with ADK's. The runner, which has ADK,
checks the values in detail. Called by `validation`.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from agentjobs.api.problems import FieldProblem, Path, problem_at

RUN_CONFIG: Final[Path] = ("agent", "runConfig")
# Settings of google-adk 2.13 that a job can use. The others are for live audio and video, or would override ours.
KEYS: Final = (
    "custom_metadata",
    "http_options",
    "include_thoughts_from_other_agents",
    "labels",
    "max_llm_calls",
    "response_modalities",
    "save_input_blobs_as_artifacts",
    "service_tier",
    "streaming_mode",
    "support_cfc",
    "tool_thread_pool_config",
)
STREAMING_MODES: Final = ("NONE", "SSE")


def run_config_problems(given: object) -> Iterator[FieldProblem]:
    """Yield the problems of a job's runConfig; the models report anything but an object."""
    if not isinstance(given, Mapping):
        return
    for key, value in given.items():
        if key not in KEYS:
            yield problem_at((*RUN_CONFIG, str(key)), value, f"is not a setting of a job's run; use {', '.join(KEYS)}")
    mode, calls = given.get("streaming_mode"), given.get("max_llm_calls")
    if mode is not None and mode not in STREAMING_MODES:
        cure = f"is not supported in a job; use {' or '.join(STREAMING_MODES)}"
        yield problem_at((*RUN_CONFIG, "streaming_mode"), mode, cure)
    if calls is not None and (type(calls) is not int or calls < 1):
        # ADK treats zero and less as no limit.
        yield problem_at((*RUN_CONFIG, "max_llm_calls"), calls, "is not a number of calls; use a whole number from 1")
