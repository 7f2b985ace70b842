"""A job's `steps.compaction`: a summary replaces older events of the session while the agent runs.

ADK compacts before a model call when a prompt has too many tokens; here it does so after a number of events. The
summary is a normal model answer, so a later start replays it.
"""

import warnings
from collections.abc import Mapping
from typing import Any, Final

from google.adk.agents.llm_agent import LlmAgent
from google.adk.apps import compaction as adk
from google.adk.apps._configs import EventsCompactionConfig
from google.adk.apps.app import App
from google.adk.apps.llm_event_summarizer import LlmEventSummarizer
from google.adk.flows.llm_flows.context import _compaction as before_call
from google.adk.models.base_llm import BaseLlm
from google.adk.sessions.session import Session

from agentjobs_runner.adk.agent_tree import walk
from agentjobs_runner.adk.models import Models
from agentjobs_runner.endings import config_invalid

_ADKS: Final = adk._run_compaction_for_token_threshold_config


class _EveryEvents(EventsCompactionConfig):
    """ADK's settings, and the number of new events after which a summary is due."""

    every: int


def compacted(app: App, given: Mapping[str, Any] | None, models: Models) -> App:
    """Return `app` with the job's compaction; unchanged without one.

    Raises:
        StartEnded: ConfigInvalid if there is no model for summaries.
    """
    if not given:
        return app
    adk._run_compaction_for_token_threshold_config = _when_due
    before_call._run_compaction_for_token_threshold_config = _when_due  # type: ignore[attr-defined]  # as ADK finds it
    name = given.get("model")
    model = models.resolve(name, "steps.compaction.model") if name else _root_model(app)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ADK warns that it is experimental, which does not help users of our field
        config = _EveryEvents(
            every=given["everyEvents"],
            token_threshold=1,
            event_retention_size=given.get("overlap") or 0,
            summarizer=LlmEventSummarizer(llm=model),
        )
    return app.model_copy(update={"events_compaction_config": config})


def summary_model(app: App) -> BaseLlm | None:
    """Return the model that an app names for its summaries, if any."""
    summarizer = getattr(app.events_compaction_config, "summarizer", None)
    return getattr(summarizer, "_llm", None)


def _root_model(app: App) -> BaseLlm:
    for node in walk(app.root_agent):
        if isinstance(node, LlmAgent):
            return node.canonical_model
    raise config_invalid("steps.compaction: the agent has no model to write summaries; set its model")


async def _when_due(*, config: EventsCompactionConfig | None, session: Session, **more: Any) -> bool:
    if isinstance(config, _EveryEvents):
        last = adk._latest_compaction_end_timestamp(session.events)
        new = [event for event in session.events if not event.actions.compaction and event.timestamp > last]
        if len(new) < config.every:
            return False
    return await _ADKS(config=config, session=session, **more)
