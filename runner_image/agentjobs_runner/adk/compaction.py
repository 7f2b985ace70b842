"""A job's `steps.compaction`: older events of the session are replaced by a summary while the agent runs.

ADK compacts before a model call when a prompt has too many tokens; here it does so after a number of events. The
summary is a model's answer like any other, so a later start takes it from the journal.
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
    """ADK's settings, and after how many new events a summary is due."""

    every: int


def compacted(app: App, given: Mapping[str, Any] | None, models: Models) -> App:
    """Return `app` with the compaction that a job asks for; the same one when it asks for none.

    Raises:
        StartEnded: ConfigInvalid when no model can write the summaries.
    """
    if not given:
        return app
    adk._run_compaction_for_token_threshold_config = _when_due
    before_call._run_compaction_for_token_threshold_config = _when_due  # type: ignore[attr-defined]  # as ADK finds it
    name = given.get("model")
    model = models.resolve(name, "steps.compaction.model") if name else _root_model(app)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # ADK calls it an experiment; people who set a field of ours cannot do much then
        config = _EveryEvents(
            every=given["everyEvents"],
            token_threshold=1,
            event_retention_size=given.get("overlap") or 0,
            summarizer=LlmEventSummarizer(llm=model),
        )
    return app.model_copy(update={"events_compaction_config": config})


def summary_model(app: App) -> BaseLlm | None:
    """Return the model that writes an app's summaries, if it names one."""
    summarizer = getattr(app.events_compaction_config, "summarizer", None)
    return getattr(summarizer, "_llm", None)


def _root_model(app: App) -> BaseLlm:
    for node in walk(app.root_agent):
        if isinstance(node, LlmAgent):
            return node.canonical_model
    raise config_invalid("steps.compaction: the agent has no model that could write summaries; set its model")


async def _when_due(*, config: EventsCompactionConfig | None, session: Session, **more: Any) -> bool:
    if isinstance(config, _EveryEvents):
        last = adk._latest_compaction_end_timestamp(session.events)
        new = [event for event in session.events if not event.actions.compaction and event.timestamp > last]
        if len(new) < config.every:
            return False
    return await _ADKS(config=config, session=session, **more)
