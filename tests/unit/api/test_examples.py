from pathlib import Path
from typing import Any

import pytest
import yaml

from agentjobs.api.job.validation import validate_job

EXAMPLES = Path(__file__).parents[3] / "examples"
JOBS = [
    pytest.param(document, id=f"{path.stem}-{document['metadata']['name']}")
    for path in sorted(EXAMPLES.glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    if isinstance(document, dict) and document.get("kind") == "AgentJob"
]


@pytest.mark.parametrize("job", JOBS)
def test_an_example_satisfies_every_rule(job: dict[str, Any]) -> None:
    assert validate_job(job) == []
