"""A development API server for each test (about 20 ms), and an HTTP client for it."""

import io
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from devcluster.apiserver import ApiServer

MERGE = "application/merge-patch+json"

TOY_CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "toys.example.dev"},
    "spec": {
        "group": "example.dev",
        "scope": "Namespaced",
        "names": {"plural": "toys", "singular": "toy", "kind": "Toy", "listKind": "ToyList", "shortNames": ["ty"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["size"],
                                "properties": {
                                    "size": {"type": "integer", "minimum": 1, "maximum": 9},
                                    "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
                                },
                            },
                            "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
                        },
                    }
                },
            }
        ],
    },
}


@dataclass(frozen=True)
class Answer:
    """A response."""

    code: int
    body: Any
    headers: Mapping[str, str]
    text: str


class Api:
    """Sends requests to one server, by default as its administrator."""

    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    toys = "/apis/example.dev/v1/namespaces/default/toys"
    core = "/api/v1/namespaces/default"

    def __init__(self, server: ApiServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    async def __call__(
        self, method: str, path: str, body: Any = None, *, media: str = "application/json", **headers: str
    ) -> Answer:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.server.token}", **headers}
        if data is not None:
            sent["Content-Type"] = media
        async with self.session.request(method, path, data=data and io.BytesIO(data), headers=sent) as response:
            text = await response.text()
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = text
        return Answer(response.status, parsed, response.headers, text)

    async def merge(self, path: str, body: Any) -> Answer:
        return await self("PATCH", path, body, media=MERGE)

    async def events(self, path: str, query: str) -> list[Any]:
        """Return all events that a watch has at its beginning."""
        admin = {"Authorization": f"Bearer {self.server.token}"}
        async with self.session.get(f"{path}?watch=true&{query}", headers=admin) as response:
            assert response.status == 200
            self.server.close_watches()
            return [json.loads(line) for line in (await response.text()).splitlines()]


@pytest_asyncio.fixture
async def server(backend: str, tmp_path: Path) -> AsyncIterator[ApiServer]:
    if backend != "embedded":
        pytest.skip("a test of the embedded API server; tests/conformance compares it with a real one")
    async with ApiServer(tmp_path / "server") as running:
        yield running


@pytest_asyncio.fixture
async def api(server: ApiServer) -> AsyncIterator[Api]:
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(server.ca)), limit=0)
    async with aiohttp.ClientSession(server.url, connector=connector) as session:
        yield Api(server, session)


@pytest_asyncio.fixture
async def toys(api: Api) -> str:
    """The path of the collection of a custom kind."""
    assert (await api("POST", api.crds, TOY_CRD)).code == 201
    return api.toys


@pytest.fixture
def toy() -> Callable[..., dict[str, Any]]:
    def build(name: str = "a", *, size: int = 1, **metadata: Any) -> dict[str, Any]:
        meta = {"name": name, **metadata}
        return {"apiVersion": "example.dev/v1", "kind": "Toy", "metadata": meta, "spec": {"size": size}}

    return build


@pytest.fixture
def pod() -> Callable[..., dict[str, Any]]:
    def build(name: str = "p", **metadata: Any) -> dict[str, Any]:
        containers = [{"name": "main", "image": "example.dev/main:1"}]
        return {"metadata": {"name": name, **metadata}, "spec": {"containers": containers}}

    return build


@pytest.fixture
def crd() -> dict[str, Any]:
    return json.loads(json.dumps(TOY_CRD))
