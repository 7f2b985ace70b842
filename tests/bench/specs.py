"""What a job's spec costs on its way from the object to its first pod: CPU of one thread, without any I/O.

Next to it stands what it was until 0.1, which is kept here as the measure: the spec was validated four times, and
hashed twice.
"""

import json
import time
from collections.abc import Callable
from typing import Any, Final

from tests.bench.figures import Figure

from agentjobs.api.job.resolve import Sources, read_accepted, resolve, resolve_spec, spec_hash
from agentjobs.api.job.spec import AgentJobSpec
from agentjobs.api.job.validation import read_spec, validate_job
from agentjobs.core.template.model import parse_template
from agentjobs.engine.cache import Cache
from agentjobs.reconcile.job.specs import Specs, to_accept

TIMES: Final = 2000
TEAM: Final[dict[str, Any]] = {
    "agentClass": "SequentialAgent",
    "subAgents": ["search", "write", "check"],
    "agents": [
        {"name": name, "instruction": f"{name} for $(job.name). " * 20, "tools": [{"name": "google_search"}]}
        for name in ("search", "write", "check")
    ],
}
SPECS: Final[dict[str, dict[str, Any]]] = {
    "the smallest": {
        "agent": {"model": "gemini-flash-latest", "inline": {"instruction": "Be brief."}},
        "input": {"message": "Say hello."},
    },
    "a team of three": {
        "agent": {"model": "gemini-flash-latest", "inline": TEAM},
        "input": {"message": "Write about $(job.name).", "state": {f"key-{number}": "x" * 50 for number in range(10)}},
        "retry": {"maxAttempts": 5, "backoff": {"initial": "30s"}},
        "resultPolicy": {"rules": [{"name": "wait", "onErrors": ["ModelRateLimited"], "action": "Snooze"}]},
        "runtime": {"resources": {"requests": {"cpu": "1"}}, "env": [{"name": "A", "value": "b"}]},
    },
}


def job_of(spec: dict[str, Any]) -> dict[str, Any]:
    """An AgentJob as the API server gives it."""
    return {"metadata": {"namespace": "default", "name": "hello", "uid": "6c0c1a52", "annotations": {}}, "spec": spec}


def four_times(job: dict[str, Any], text: str) -> None:
    """As it was: each step validates for itself."""
    assert not validate_job(job)
    AgentJobSpec.model_validate(job["spec"])
    spec_hash(resolve(job, {}))
    stored = json.loads(text)
    read_accepted(stored)
    spec_hash(stored)


def once(job: dict[str, Any], text: str) -> None:
    """As it is: one model is handed on, and what is stored is compared with what was sent."""
    spec = read_spec(job)
    assert isinstance(spec, AgentJobSpec)
    sent = to_accept(spec, resolve_spec(spec, job["metadata"], Sources()))
    specs = Specs(Cache(parse_template), lambda *_queue: {})
    assert specs.accept("6c0c1a52", json.loads(text), sent) is sent


def microseconds(act: Callable[[dict[str, Any], str], None], job: dict[str, Any], text: str) -> float:
    """CPU of one call."""
    before = time.process_time()
    for _ in range(TIMES):
        act(job, text)
    return (time.process_time() - before) * 1e6 / TIMES


def measure(runs: int) -> list[Figure]:
    """Microseconds of CPU of one acceptance, next to what it was."""
    found = []
    for name, spec in SPECS.items():
        job = job_of(spec)
        text = json.dumps(resolve(job, {}))
        pairs = [(microseconds(once, job, text), microseconds(four_times, job, text)) for _ in range(runs)]
        ours, theirs = zip(*pairs, strict=True)
        peer = "validated four times"
        found.append(Figure(f"a spec read, resolved and accepted: {name}", "µs", ours, peer=theirs, peer_name=peer))
    return found
