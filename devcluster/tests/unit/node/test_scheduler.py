"""The choice of a node for a pod."""

import pytest

from devcluster.controllers.scheduler import Unschedulable, choose, unready


def node(name="n", *, ready="True", labels=None, **spec):
    conditions = [{"type": "Ready", "status": ready}]
    return {"metadata": {"name": name, "labels": labels or {}}, "spec": spec, "status": {"conditions": conditions}}


TAINT = {"key": "dev", "value": "yes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("spec", "nodes", "expected"),
    [
        pytest.param({}, [node("b"), node("a")], "a", id="the first by name"),
        pytest.param({"nodeSelector": {"x": "1"}}, [node("a"), node("b", labels={"x": "1"})], "b", id="selector"),
        pytest.param({"tolerations": [{"operator": "Exists"}]}, [node(taints=[TAINT])], "n", id="tolerates all"),
        pytest.param({"tolerations": [{"key": "dev", "value": "yes"}]}, [node(taints=[TAINT])], "n", id="tolerates it"),
        pytest.param({}, [node(taints=[{**TAINT, "effect": "PreferNoSchedule"}])], "n", id="a soft taint"),
    ],
)
def test_a_pod_is_bound_to_a_node_that_fits(spec, nodes, expected):
    assert choose({"spec": spec}, nodes) == expected


@pytest.mark.parametrize(
    ("spec", "nodes", "message"),
    [
        pytest.param({}, [], "no nodes available to schedule pods", id="none"),
        pytest.param(
            {"nodeSelector": {"x": "1"}},
            [node()],
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
            id="selector",
        ),
        pytest.param(
            {"tolerations": [{"key": "dev", "value": "no"}]},
            [node(taints=[TAINT])],
            "0/1 nodes are available: 1 node(s) had untolerated taint {dev: yes}.",
            id="taint",
        ),
        pytest.param({}, [node(ready="False")], "0/1 nodes are available: 1 node(s) were not ready.", id="not ready"),
        pytest.param(
            {}, [node(unschedulable=True)], "0/1 nodes are available: 1 node(s) were unschedulable.", id="cordoned"
        ),
    ],
)
def test_an_unschedulable_pod_has_the_reason(spec, nodes, message):
    assert choose({"spec": spec}, nodes) == Unschedulable(message)


def claim(phase, **metadata):
    return {"metadata": metadata, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("found", "why"),
    [
        pytest.param(None, 'persistentvolumeclaim "c" not found', id="missing"),
        pytest.param(claim("Pending"), "pod has unbound immediate PersistentVolumeClaims", id="unbound"),
        pytest.param(
            claim("Bound", deletionTimestamp="2026-11-21T09:00:00Z"),
            'persistentvolumeclaim "c" is being deleted',
            id="going",
        ),
        pytest.param(claim("Bound"), "", id="bound"),
    ],
)
def test_a_pod_that_waits_for_its_claims_has_the_schedulers_message(found, why):
    assert unready("c", found) == why
