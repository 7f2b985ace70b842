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
    ("ref", "args", "said"),
    [
        ("a:b", {"max-depth": 1}, 'args.max-depth: "max-depth" is not a Python argument name'),
        ("a:b", {"class": 1}, "is not a Python argument name"),
        ("a", {"x": 1}, "spec.agent.module.args: need a function, but ref names none"),
    ],
    ids=["no-identifier", "keyword", "no-function"],
)
def test_arguments_that_no_function_can_take_are_refused(a_job: Job, ref: str, args: dict[str, Any], said: str) -> None:
    (problem,) = validate_job(made(a_job, ref, **args))
    assert said in str(problem)
