"""Builders of a pod and of the objects that a pod refers to."""

import pytest


@pytest.fixture
def a_pod():
    def build(**spec):
        containers = [{"name": "runner", "image": "agent:1", "command": ["python"]}]
        metadata = {"name": "p", "namespace": "ns", "uid": "u-1", "labels": {"a": "b"}, "generation": 1}
        return {"metadata": metadata, "spec": {"containers": containers, **spec}, "status": {}}

    return build


@pytest.fixture
def lookup():
    maps = {"settings": {"data": {"mode": "fast"}}}
    secrets = {"keys": {"api": b"s3cret"}}

    class Objects:
        async def config_map(self, name):
            return maps.get(name)

        async def secret(self, name):
            return secrets.get(name)

    return Objects()
