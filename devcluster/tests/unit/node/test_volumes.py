"""Paths in a pod's spec never leave its folder."""

from pathlib import Path

import pytest

from devcluster.node.environment import ConfigError
from devcluster.node.volumes import config_map_bytes, inside, mount_paths


@pytest.mark.parametrize("relative", ["../x", "/etc/passwd", "a/../../x", ""])
def test_a_path_that_leaves_its_folder_is_refused(relative):
    with pytest.raises(ConfigError, match="must be relative and stay inside"):
        inside(Path("/pods/1"), relative)


def test_only_the_sub_path_is_mounted():
    container = {"volumeMounts": [{"name": "v", "mountPath": "/etc/app", "subPath": "app.conf"}]}

    assert mount_paths(container, Path("/x")) == {"/etc/app": Path("/x/v/app.conf")}


def test_binary_data_is_decoded():
    assert config_map_bytes({"data": {"a": "1"}, "binaryData": {"b": "AAE="}}) == {"a": b"1", "b": b"\x00\x01"}
