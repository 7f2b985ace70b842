"""A pod's fields are known by name, so that a misspelt one is seen."""

from devcluster.apiserver import podfields


def test_the_table_is_that_of_the_installed_client() -> None:
    assert podfields.made() == podfields._table(), "call podfields.write()"


def test_fields_that_nobody_knows_are_dropped_and_named_at_any_depth() -> None:
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


def test_what_is_no_object_where_one_is_expected_is_left_to_others() -> None:
    assert podfields.prune({"spec": {"affinity": "none", "volumes": {"name": "a"}, "containers": [None]}}) == []
