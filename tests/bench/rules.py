"""What the rules of the CRD cost a real API server: bytes it allocates for a job's three writes, next to none.

Allocations stand for its work, because they are nearly the same in every run, whatever else the machine does. The
objects are those of the smallest job; no operator runs.
"""

import asyncio
import os
import re
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure
from tests.bench.load import AGENTJOBS, each

from agentjobs.api.generate.crd import crd
from devcluster.client import CRDS, ApiError, Client, Object
from devcluster.envtest import ASSETS, EnvTest

OBJECTS = 200
WARM_UP = 50
RULES = "x-kubernetes-validations"
CLIENTS = 4
TIME = "2026-11-21T09:00:00Z"
SPEC = {
    "agent": {"model": "gemini-flash-latest", "inline": {"instruction": "Be brief."}},
    "input": {"message": "Summarise the night's incidents."},
}


def _condition(kind: str, status: str, reason: str, message: str = "") -> Object:
    common = {"observedGeneration": 1, "lastTransitionTime": TIME, "message": message}
    return {"type": kind, "status": status, "reason": reason, **common}


CLAIMED = {
    "observedGeneration": 1,
    "phase": "Running",
    "conditions": [
        _condition("Accepted", "True", "Resolved", "spec hash e0d6502f"),
        _condition("Admitted", "True", "Admitted", "attempt 1, start 1"),
        _condition("Finished", "False", "Running"),
    ],
    "queue": {"name": "agents", "since": TIME},
    "resolved": {"specHash": "e0d6502f"},
    "startTime": TIME,
    "attempts": 1,
    "starts": 1,
    "transitions": 1,
    "runningSeconds": 0,
    "snoozes": 0,
    "infraRestarts": 0,
}
ENDED = {
    "phase": "Succeeded",
    "conditions": [
        _condition("Accepted", "True", "Resolved", "spec hash e0d6502f"),
        _condition("Admitted", "False", "Finished"),
        _condition("Finished", "True", "Succeeded"),
        _condition("Complete", "True", "ResultAccepted", "the agent answered"),
    ],
    "attemptHistory": [
        {"attempt": 1, "start": 1, "pod": "one-1", "started": TIME, "ended": TIME, "verdict": "Succeed"}
        | {"reason": "", "charged": False, "message": "the agent answered"}
    ],
    "completionTime": TIME,
    "result": {"ref": "history:1d5c6008-9e57-49b2-989f-f986310de609/result", "summary": "done", "truncated": False},
    "usage": {"inputTokens": 21, "llmCalls": 1, "outputTokens": 12, "toolCalls": 0},
    "transitions": 2,
}


def _only_rules(node: Any, keeps: Callable[[str], bool]) -> Any:
    """Return a schema with those of its rules alone whose text `keeps` chooses."""
    if isinstance(node, list):
        return [_only_rules(item, keeps) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _only_rules(value, keeps) for key, value in node.items() if key != RULES}
    rules = [rule for rule in node.get(RULES, ()) if keeps(rule["rule"])]
    return {**kept, RULES: rules} if rules else kept


async def _allocated(client: Client) -> float:
    """Bytes that the API server has ever allocated."""
    metrics = (await client.request("GET", "/metrics"))["text"]
    found = re.search(r"^go_memstats_alloc_bytes_total (\S+)", metrics, re.MULTILINE)
    assert found, "kube-apiserver has no go_memstats_alloc_bytes_total"
    return float(found[1])


async def _served(client: Client) -> None:
    """Wait until the new kind is there, and has done its first things."""
    for _ in range(100):
        try:
            await _write(client, "warm", WARM_UP)
            return
        except ApiError as error:
            if error.code != 404:
                raise
            await asyncio.sleep(0.1)
    raise TimeoutError("the kind was not served within 10 s of its creation")


async def _write(client: Client, name: str, count: int) -> list[float]:
    """Make jobs, claim them, end them; return the bytes allocated for each step of one."""
    steps: list[Callable[[int], Coroutine[Any, Any, Object]]] = [
        lambda number: client.create(
            AGENTJOBS,
            "default",
            {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentJob", "spec": SPEC}
            | {"metadata": {"name": f"{name}-{number}"}},
        ),
        *(
            lambda number, status=status: client.patch(
                AGENTJOBS, "default", f"{name}-{number}", {"status": status}, subresource="status"
            )
            for status in (CLAIMED, ENDED)
        ),
    ]
    taken = []
    for step in steps:
        before = await _allocated(client)
        await each(range(count), step, clients=CLIENTS)
        taken.append((await _allocated(client) - before) / count)
    return taken


async def _taken(definition: Object) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="agentjobs-bench-") as folder:
        async with (
            EnvTest(Path(folder)) as server,
            Client(server.url, token=server.token, ca=server.ca) as client,
        ):
            await client.create(CRDS, None, definition)
            await _served(client)
            return await _write(client, "bench", OBJECTS)


def measure(runs: int) -> list[Figure]:
    """KiB allocated by a real API server for creation, claim and end of a job, next to a CRD with fewer rules."""
    if not os.environ.get(ASSETS):
        print(f"rules: left out, because {ASSETS} names no real API server")
        return []
    ours = [asyncio.run(_taken(crd())) for _ in range(runs)]
    figures: list[Figure] = []
    for peer, keeps in (("without rules", _no_rule), ("without rules on changes", _no_rule_on_changes)):
        others = [asyncio.run(_taken(_only_rules(crd(), keeps))) for _ in range(runs)]
        figures += [
            Figure(
                f"allocated by the API server for a job's {what}",
                "KiB",
                tuple(run[place] / 1024 for run in ours),
                peer=tuple(run[place] / 1024 for run in others),
                peer_name=peer,
            )
            for place, what in enumerate(("creation", "claim", "end"))
        ]
    return figures


def _no_rule(_rule: str) -> bool:
    return False


def _no_rule_on_changes(rule: str) -> bool:
    """Leave out what a ValidatingAdmissionPolicy on `agentjobs` alone could judge in the CRD's place."""
    return "oldSelf" not in rule
