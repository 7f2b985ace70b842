"""The table of classes in the reference."""

from agentjobs.api.error_classes import CLASSES
from agentjobs.contract import ErrorClass, Verdict


def test_every_class_is_in_the_reference_with_its_verdict():
    assert set(CLASSES) == set(ErrorClass)
    verdicts = {described.verdict.split()[0] for described in CLASSES.values()}
    assert verdicts <= {*Verdict, "by"}
