"""The names of a pod's fields are known, so that misspelt ones are found."""

from devcluster.apiserver import podfields


def test_the_table_is_that_of_the_installed_client() -> None:
    assert podfields.made() == podfields._table(), "call podfields.write()"


def test_unknown_fields_are_removed_and_reported_at_any_depth() -> None:
    pod = {
        "metadata": {"labels": {"any": "thing"}, "lables": {}},
        "spec": {
            "affinity": {"nodeAffinty": {}},
            "nodeSelector": {"any": "thing"},
            "volumes": [{"name": "a", "emptyDir": {"sizeLimt": "1Gi", "medium": "Memory"}}],
        },
    }

    assert podfields.prune(pod) == ["metadata.lables", "spec.affinity.nodeAffinty", "spec.volumes[0].emptyDir.sizeLimt"]
    assert pod["spec"]["volumes"] == [{"name": "a", "emptyDir": {"medium": "Memory"}}]
    assert pod["metadata"] == {"labels": {"any": "thing"}}


def test_a_value_that_is_not_an_object_is_left_unchanged() -> None:
    assert podfields.prune({"spec": {"affinity": "none", "volumes": {"name": "a"}, "containers": [None]}}) == []
