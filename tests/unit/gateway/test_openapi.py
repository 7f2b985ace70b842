"""Requests that the OpenAPI document allows are answered as described, and all others are refused."""

import itertools

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from tests.unit.gateway.callers_kube import CallersKube

from agentjobs.gateway.user_limits import Streams

load_all_checks()
# What a schema cannot say is refused, too: a cursor of another list, two times in the wrong order. Routes of runners
# leave out unknown parameters, and of a parameter that is repeated the last counts.
NOT_HERE = [positive_data_acceptance, negative_data_rejection]
# The same ones every time, and few: sixty operations take some seconds for each example.
ONCE = settings(
    max_examples=settings.default.max_examples // 15,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
RUNNERS = "/v1/attempt"


class Everything(set):
    """The rights of an administrator."""

    def __contains__(self, _right):
        return True


@pytest.fixture
def kube():
    made = CallersKube()
    made.add_user("user", "ada")
    made.rights["ada"] = Everything()
    made.add_runner("runner", job="hello", start=1, uid="u1", pod_uid="p1")
    return made


@pytest.fixture
def clock():
    """A second later at every look, so that no number of examples is too many for an address."""
    return itertools.count(1000.0).__next__


@pytest.fixture
def streams():
    """As short as they may be."""
    return Streams(shortest=0.01, longest=0.01)


@pytest.fixture
async def _a_job_runs(history):
    await history.accept()


def there(parameters):
    """The names of the job that runs, for those that a path has."""
    return {name: value for name, value in {"namespace": "default", "name": "hello"}.items() if name in parameters}


def findings(operation, mode):
    """What is wrong with the answers of an operation."""
    token = "runner" if operation.path.startswith(RUNNERS) else "user"

    @ONCE
    @given(case=operation.as_strategy(generation_mode=mode))
    def asked(case):
        if mode is GenerationMode.POSITIVE:  # what is there, or all answers were 404
            case.path_parameters = {**(case.path_parameters or {}), **there(case.path_parameters or {})}
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, excluded_checks=NOT_HERE)

    try:
        asked()
    except FailureGroup as wrong:
        return str(wrong)
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE  # nothing that is sent to it can be wrong
    return None


@pytest.mark.hypothesis
@pytest.mark.usefixtures("_a_job_runs")
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["meant", "wrong"])
def test_every_operation_conforms_to_the_document(app, mode):
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    operations = [found.ok() for found in schema.get_all_operations()]

    wrong = {operation.label: findings(operation, mode) for operation in operations}

    found = [f"{label}: {wrong[label]}" for label in wrong if wrong[label]]
    assert not found, "\n".join(found)
    assert len(operations) > 60
