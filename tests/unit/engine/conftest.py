"""Builders for objects as an API server sends them."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def obj() -> Callable[..., dict[str, Any]]:
    def make(name: str, version: int, *, uid: str = "", namespace: str = "ns", **labels: str) -> dict[str, Any]:
        return {
            "kind": "Thing",
            "metadata": {
                "namespace": namespace,
                "name": name,
                "uid": uid or f"uid-{name}",
                "resourceVersion": str(version),
                "labels": labels,
            },
        }

    return make
