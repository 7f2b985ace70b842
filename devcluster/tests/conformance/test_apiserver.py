"""The responses of the embedded API server are those of a real kube-apiserver 1.36, request by request.

The golden responses were recorded from a real server. With KUBEBUILDER_ASSETS they are compared with one again;
DEVCLUSTER_RECORD=1 records them.
"""

import asyncio
import json
import os
import re
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml
from yarl import URL

from devcluster.apiserver import ApiServer
from devcluster.envtest import ASSETS, EnvTest

HERE = Path(__file__).parent
GOLDEN = HERE / "apiserver-1.36.json"
STEPS = yaml.safe_load((HERE / "apiserver.yaml").read_text())
VOLATILE = ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "name")


def digest(code: int, text: str) -> dict[str, Any]:
    """Return the parts of a response that clients depend on: codes, reasons, fields, metadata, custom resources."""
    answers = []
    for line in [text] if not text.startswith('{"type"') else text.splitlines():
        try:
            answers.append(json.loads(line))
        except ValueError:
            answers.append({})
    return {"code": code, "answers": [of(answer) for answer in answers]}


def of(body: Any) -> Any:
    if "type" in body and "object" in body:
        return {"type": body["type"], "object": of(body["object"])}
    if "items" in body:
        return {"kind": body.get("kind"), "items": [of(item) for item in body["items"]]}
    if body.get("kind") == "Status":
        causes = (body.get("details") or {}).get("causes") or ()
        found = sorted({(cause.get("reason", ""), cause.get("field", "")) for cause in causes})
        told = {
            "status": body.get("status"),
            "reason": body.get("reason", ""),
            "causes": [list(each) for each in found],
        }
        return told | ({"message": body["message"]} if body.get("reason") == "Forbidden" else {})
    meta = {key: value for key, value in (body.get("metadata") or {}).items() if key != "managedFields" and value}
    meta |= {key: "…" for key in VOLATILE if key in meta and (key != "name" or "generateName" in meta)}
    told = {"kind": body.get("kind"), "metadata": meta}
    if body.get("kind") in ("SubjectAccessReview", "SelfSubjectAccessReview"):
        told["status"] = body.get("status")
    if body.get("apiVersion") == "rbac.authorization.k8s.io/v1":
        told |= {key: body.get(key) for key in ("rules", "roleRef", "subjects") if body.get(key)}
    if body.get("apiVersion") == "networking.k8s.io/v1":
        told["spec"] = body.get("spec")
    if body.get("kind") == "PersistentVolumeClaim":
        told |= {"spec": body.get("spec"), "status": body.get("status")}
    if body.get("apiVersion") == "example.dev/v1":
        told |= {key: value for key, value in body.items() if key not in ("apiVersion", "kind", "metadata")}
    return told


async def answers_of(server: Any) -> dict[str, Any]:
    """Send all steps in their order; return the digests by name."""
    tls = ssl.create_default_context(cafile=str(server.ca))
    headers = {"Authorization": f"Bearer {server.token}"}
    found: dict[str, Any] = {}
    known: dict[str, dict[str, Any]] = {}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(ssl=tls)) as session:
        for step in STEPS:
            if "do" in step:
                done = getattr(server, step["do"])()
                if done is not None:
                    await done
                continue
            code, text = await send(session, server.url, step, known)
            found[step["name"]] = digest(code, text)
            known[step["name"]] = names_of(text)
    return found


def names_of(text: str) -> dict[str, Any]:
    """Return the values for later steps: metadata, and the token of a TokenRequest."""
    try:
        body = json.loads(text)
        return {**(body.get("metadata") or {}), "token": (body.get("status") or {}).get("token", "")}
    except (ValueError, AttributeError):
        return {}


async def send(session: aiohttp.ClientSession, url: str, step: Any, known: Any) -> tuple[int, str]:
    def fill(text: str) -> str:
        return re.sub(r"\{([a-z-]+)\.(\w+)\}", lambda found: str(known[found[1]].get(found[2], "")), text)

    method, path = step["request"].split(" ", 1)
    data = step.get("text") if "text" in step else json.dumps(step["body"]) if "body" in step else None
    headers = {"Accept": step.get("accept", "application/json")}
    if "as" in step:
        headers["Authorization"] = f"Bearer {fill(step['as'])}"
    if data is not None:
        headers["Content-Type"] = step.get("type", "application/json")
    for _ in range(100):
        async with session.request(
            method,
            URL(url + fill(path), encoded=True),
            data=fill(data).encode() if data is not None else None,
            headers=headers,
        ) as answer:
            code, text = answer.status, (await answer.read()).decode("utf-8", "replace")
        # A real server takes a moment until it serves a new kind or uses a new role.
        if step.get("until", code) == code:
            break
        await asyncio.sleep(0.1)
    return code, text.strip()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def embedded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    async with ApiServer(tmp_path_factory.mktemp("embedded")) as server:
        return await answers_of(server)


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("step", [step for step in STEPS if "request" in step], ids=lambda step: step["name"])
def test_the_embedded_server_answers_as_the_real_one(embedded, golden, step):
    if "differs" in step:
        assert embedded[step["name"]] != golden[step["name"]], "it no longer differs: remove `differs`"
        return

    assert embedded[step["name"]] == golden[step["name"]]


@pytest.mark.skipif(not os.environ.get(ASSETS), reason=f"{ASSETS} names no real API server")
async def test_the_golden_answers_are_the_real_servers(tmp_path):
    async with EnvTest(tmp_path) as server:
        found = await answers_of(server)
    if os.environ.get("DEVCLUSTER_RECORD"):
        GOLDEN.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")

    assert found == json.loads(GOLDEN.read_text())
