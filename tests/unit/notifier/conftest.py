"""Notifications to send."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentjobs.history.outbox_records import Due

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def a_notification() -> Callable[..., Due]:
    """Makes one that is due: `a_notification(event="Failed", summary=...)`."""

    def build(event: str = "Failed", transition: int = 4, **more: Any) -> Due:
        data = {"namespace": "shop", "name": "triage-87", "uid": "u-1", "phase": event, **more}
        return Due("u-1", "chat", transition, event, NOON, data, 1, timedelta(0))

    return build
