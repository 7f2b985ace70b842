"""The two clients next to each other, and next to their reference."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import agentjobs.client
from agentjobs.client import AsyncClient, Client, Misconfigured
from agentjobs.client.models import AsyncModels, Models
from agentjobs.client.notifications import AsyncNotifications, Notifications
from agentjobs.client.overview import AsyncOverview, Overview
from agentjobs.client.queues import AsyncQueues, Queues
from agentjobs.client.schedules import AsyncSchedules, Schedules
from agentjobs.client.sessions import AsyncSessions, Sessions

PROPERTIES = ("models", "namespace", "notifications", "overview", "queues", "schedules", "sessions")
REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "client.md"


def public(kind):
    return {name: member for name, member in inspect.getmembers(kind) if not name.startswith("_")}


FACES = {
    "jobs": (Client, AsyncClient),
    "schedules": (Schedules, AsyncSchedules),
    "queues": (Queues, AsyncQueues),
    "sessions": (Sessions, AsyncSessions),
    "models": (Models, AsyncModels),
    "notifications": (Notifications, AsyncNotifications),
    "overview": (Overview, AsyncOverview),
}


@pytest.mark.parametrize("faces", FACES.values(), ids=FACES)
def test_the_two_clients_have_the_same_methods_with_the_same_arguments(faces):
    sync, other = map(public, faces)

    assert sync.keys() == other.keys()
    for name, method in sync.items():
        if inspect.isfunction(method):
            assert inspect.signature(method).parameters == inspect.signature(other[name]).parameters, name


def test_every_method_and_error_is_in_the_reference():
    text = REFERENCE.read_text()
    errors = [name for name in agentjobs.client.__all__ if inspect.isclass(getattr(agentjobs.client, name))]
    shown = [name for name in errors if issubclass(getattr(agentjobs.client, name), Exception)]

    assert [name for name in public(Client) if name not in PROPERTIES and f"`{name}(" not in text] == []
    assert [name for name in public(Schedules) if f"`schedules.{name}(" not in text] == []
    assert [name for name in public(Queues) if f"`queues.{name}(" not in text] == []
    assert [name for name in public(Sessions) if f"`sessions.{name}(" not in text] == []
    assert [name for name in public(Models) if f"`models.{name}(" not in text] == []
    assert [name for name in public(Overview) if f"`overview.{name}(" not in text] == []
    assert [name for name in public(Notifications) if f"`notifications.{name}(" not in text] == []
    assert [name for name in shown if f"`{name}`" not in text] == []


def test_the_package_loads_nothing_before_it_is_used():
    code = "import agentjobs.client, sys; print(sorted({'httpx', 'pydantic', 'yaml'} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_missing_kubeconfig_is_reported_with_a_solution(tmp_path):
    with pytest.raises(Misconfigured, match="agentjobs dev"):
        Client(kubeconfig=str(tmp_path / "none"))
