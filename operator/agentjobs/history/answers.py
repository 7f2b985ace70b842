"""See `api.answers`."""

from agentjobs.api.answers import Missing, Whole, as_text, value_at, whole

__all__ = ["Missing", "Whole", "as_text", "value_at", "whole"]
