from collections.abc import Callable
from typing import Any

import pytest

from agentjobs.api.job.resolve import resolve
from agentjobs.api.job.validation import validate_job

Job = Callable[..., dict[str, Any]]


def made(a_job: Job, ref: str = "my_app.agents:make", **args: Any) -> dict[str, Any]:
    return a_job(agent={"module": {"ref": ref, "args": args}})


def test_arguments_are_part_of_the_resolved_spec(a_job: Job) -> None:
    job = made(a_job, region="eu", depth=3)

    assert validate_job(job) == []
    assert resolve(job, {})["spec"]["agent"]["module"]["args"] == {"region": "eu", "depth": 3}


@pytest.mark.parametrize(
    ("ref", "args", "field", "word"),
    [
        ("a:b", {"max-depth": 1}, ".max-depth", "Python"),
        ("a:b", {"class": 1}, ".class", "Python"),
        ("a", {"x": 1}, "", "function"),
    ],
    ids=["no-identifier", "keyword", "no-function"],
)
def test_arguments_that_no_function_can_take_are_refused(
    a_job: Job, ref: str, args: dict[str, Any], field: str, word: str
) -> None:
    (problem,) = validate_job(made(a_job, ref, **args))
    assert (problem.field, word in problem.message) == (f"spec.agent.module.args{field}", True)
