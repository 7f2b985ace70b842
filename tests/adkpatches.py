"""What a start puts into ADK's classes and modules. A process runs one start; tests run many in theirs."""

import pytest
from google.adk.agents import run_config
from google.adk.agents.llm_agent import LlmAgent
from google.adk.flows.llm_flows.base_llm_flow import BaseLlmFlow
from google.adk.flows.llm_flows.context import _contents
from google.adk.plugins.plugin_manager import PluginManager
from google.adk.workflow._function_node import FunctionNode


def undone_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give ADK back after the test as it is now."""
    monkeypatch.setattr(LlmAgent, "_default_model", LlmAgent.DEFAULT_MODEL)
    for owner, name in (
        (LlmAgent, "canonical_model"),
        (PluginManager, "__init__"),
        (BaseLlmFlow, "_get_llm"),
        (FunctionNode, "_run_impl"),
        (_contents, "_get_contents"),
        (run_config, "_DEFAULT_MAX_LLM_CALLS"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))
