"""How much is kept of a termination message, as kubelets share it out."""

import pytest

from devcluster.node.containers import message_bytes


@pytest.mark.parametrize(
    ("containers", "init", "kept"),
    [
        pytest.param(1, 0, 4096, id="one"),
        pytest.param(1, 2, 4096, id="three"),
        pytest.param(3, 5, 1536, id="eight"),
    ],
)
def test_containers_share_the_message_limit_of_a_pod(containers, init, kept):
    pod = {"spec": {"containers": [{}] * containers, "initContainers": [{}] * init}}

    assert message_bytes(pod) == kept
