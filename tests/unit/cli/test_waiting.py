"""What `agentjobs wait` can wait for, and what it says when that does not come."""

from agentjobs.api.conditions import ConditionType
from agentjobs.cli.waiting import CONDITIONS


def test_every_condition_of_a_job_can_be_waited_for():
    assert sorted(CONDITIONS) == sorted(ConditionType)
