"""Writes of objects."""

import pytest

STATUS = "application/json-patch+json"


async def test_a_created_object_gets_uid_generation_and_revision(api, toys, toy):
    answer = await api("POST", toys, toy(generation=7, uid="mine"))

    meta = answer.body["metadata"]
    assert answer.code == 201
    assert meta["generation"] == 1
    assert meta["uid"] != "mine"
    assert int(meta["resourceVersion"]) > 10**15  # microseconds, so that a restart does not repeat a revision


async def test_defaults_are_stored(api, toys, toy):
    created = await api("POST", toys, toy())

    assert created.body["spec"] == {"size": 1, "color": "red"}


async def test_a_second_create_is_already_exists_not_conflict(api, toys, toy):
    await api("POST", toys, toy())

    again = await api("POST", toys, toy())

    assert (again.code, again.body["reason"]) == (409, "AlreadyExists")


async def test_a_generated_name_keeps_its_prefix(api, toys, toy):
    body = toy()
    body["metadata"] = {"generateName": "run-"}

    names = {(await api("POST", toys, body)).body["metadata"]["name"] for _ in range(3)}

    assert len(names) == 3
    assert all(name.startswith("run-") and len(name) == 9 for name in names)


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        pytest.param({"name": "Not_A_Name"}, 422, id="name"),
        pytest.param({"name": "x" * 254}, 422, id="long-name"),
        pytest.param({"labels": {"a b": "c"}}, 422, id="label-key"),
        pytest.param({"labels": {"a": "-"}}, 422, id="label-value"),
        pytest.param({"labels": {"a": 1}}, 400, id="label-number"),
        pytest.param({"annotations": {"a/b/c": "d"}}, 422, id="annotation"),
        pytest.param({"annotations": {"a": "x" * 300_000}}, 422, id="annotations-too-long"),
        pytest.param({"finalizers": ["a b"]}, 422, id="finalizer"),
        pytest.param({"ownerReferences": [{"kind": "Toy", "name": "o", "uid": ""}]}, 422, id="owner"),
        pytest.param({"namespace": "other"}, 400, id="other-namespace"),
        pytest.param({"resourceVersion": "5"}, 500, id="revision"),
    ],
)
async def test_bad_metadata_is_refused(api, toys, toy, metadata, code):
    assert (await api("POST", toys, toy(**metadata))).code == code


async def test_a_namespace_must_exist(api, toys, toy):
    answer = await api("POST", toys.replace("default", "absent"), toy())

    assert (answer.code, answer.body["message"]) == (404, 'namespaces "absent" not found')


async def test_a_refusal_has_all_causes(api, toys, toy):
    body = toy(size=12)
    body["spec"]["color"] = "green"

    answer = await api("POST", toys, body)

    assert answer.code == 422
    assert {cause["field"] for cause in answer.body["details"]["causes"]} == {"spec.size", "spec.color"}


async def test_unknown_fields_are_errors_warnings_or_nothing(api, toys, toy):
    body = toy()
    body["spec"]["sise"] = 2

    strict = await api("POST", f"{toys}?fieldValidation=Strict", body)
    warned = await api("POST", toys, body)
    ignored = await api("PUT", f"{toys}/a?fieldValidation=Ignore", {**warned.body, "speck": 1})

    assert (strict.code, 'unknown field "spec.sise"' in strict.body["message"]) == (400, True)
    assert warned.headers["Warning"] == '299 - "unknown field \\"spec.sise\\""'
    assert "sise" not in warned.body["spec"]
    assert (ignored.code, "Warning" in ignored.headers) == (200, False)


async def test_a_dry_run_answers_and_stores_nothing(api, toys, toy):
    tried = await api("POST", f"{toys}?dryRun=All", toy())

    assert tried.code == 201
    assert (await api("GET", f"{toys}/a")).code == 404


async def test_generation_counts_spec_changes_only(api, toys, toy):
    await api("POST", toys, toy())

    labelled = await api.merge(f"{toys}/a", {"metadata": {"labels": {"k": "v"}}})
    status = await api.merge(f"{toys}/a/status", {"status": {"phase": "Up"}})
    changed = await api.merge(f"{toys}/a", {"spec": {"size": 2}})

    assert [each.body["metadata"]["generation"] for each in (labelled, status, changed)] == [1, 1, 2]


async def test_writes_of_status_and_spec_do_not_affect_each_other(api, toys, toy):
    await api("POST", toys, {**toy(), "status": {"phase": "Forged"}})

    by_spec = await api.merge(f"{toys}/a", {"status": {"phase": "Forged"}, "spec": {"size": 2}})
    by_status = await api.merge(f"{toys}/a/status", {"status": {"phase": "Up"}, "spec": {"size": 9}})

    assert "status" not in by_spec.body
    assert by_status.body["status"] == {"phase": "Up"}
    assert by_status.body["spec"]["size"] == 2


async def test_a_write_without_a_change_is_not_stored(api, toys, toy):
    before = await api("POST", toys, toy())

    after = await api.merge(f"{toys}/a", {"spec": {"size": 1}})

    assert after.body["metadata"]["resourceVersion"] == before.body["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("meta", "code", "reason"),
    [
        pytest.param({}, 422, "Invalid", id="no-revision"),
        pytest.param({"resourceVersion": "1"}, 409, "Conflict", id="stale"),
        pytest.param({"resourceVersion": "current", "uid": "other"}, 409, "Conflict", id="other-uid"),
        pytest.param({"resourceVersion": "current", "name": "b"}, 400, "BadRequest", id="other-name"),
    ],
)
async def test_a_put_requires_a_resource_version(api, toys, toy, meta, code, reason):
    current = (await api("POST", toys, toy())).body["metadata"]["resourceVersion"]
    if meta.get("resourceVersion") == "current":
        meta = {**meta, "resourceVersion": current}

    answer = await api("PUT", f"{toys}/a", toy(**{"name": "a", **meta}, size=2))

    assert (answer.code, answer.body["reason"]) == (code, reason)


async def test_a_config_map_can_be_put_without_a_resource_version(api):
    body = {"metadata": {"name": "m"}, "data": {"a": "1"}}
    await api("POST", f"{api.core}/configmaps", body)

    answer = await api("PUT", f"{api.core}/configmaps/m", {**body, "data": {"a": "2"}})

    assert (answer.code, answer.body["data"]) == (200, {"a": "2"})


async def test_a_patch_with_a_stale_revision_conflicts(api, toys, toy):
    await api("POST", toys, toy())

    answer = await api.merge(f"{toys}/a", {"metadata": {"resourceVersion": "1"}, "spec": {"size": 2}})

    assert (answer.code, answer.body["reason"]) == (409, "Conflict")


async def test_a_failed_test_of_a_json_patch_is_422(api, toys, toy):
    await api("POST", toys, toy())
    patch = [{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}]

    assert (await api("PATCH", f"{toys}/a", patch, media=STATUS)).code == 422


@pytest.mark.parametrize(
    "media",
    ["application/strategic-merge-patch+json", "application/apply-patch+yaml", "application/json", "text/plain"],
)
async def test_a_patch_format_that_is_not_served_is_415(api, toys, toy, media):
    await api("POST", toys, toy())

    answer = await api("PATCH", f"{toys}/a", {}, media=media)

    assert answer.code == 415
    assert len(answer.body["message"]) > 40


async def test_an_object_is_deleted_only_after_its_finalizer_is_removed(api, toys, toy):
    await api("POST", toys, toy(finalizers=["example.dev/hold"]))

    held = await api("DELETE", f"{toys}/a")
    late = await api.merge(f"{toys}/a", {"metadata": {"finalizers": ["example.dev/hold", "example.dev/more"]}})
    undone = await api.merge(f"{toys}/a", {"metadata": {"deletionTimestamp": None}})
    released = await api.merge(f"{toys}/a", {"metadata": {"finalizers": None}})

    assert (held.code, held.body["metadata"]["generation"]) == (200, 2)
    assert late.code == 422
    assert undone.body["metadata"]["deletionTimestamp"] == held.body["metadata"]["deletionTimestamp"]
    assert released.code == 200
    assert (await api("GET", f"{toys}/a")).code == 404


async def test_a_delete_with_another_uid_deletes_nothing(api, toys, toy):
    await api("POST", toys, toy())

    answer = await api("DELETE", f"{toys}/a", {"preconditions": {"uid": "other"}})

    assert (answer.code, answer.body["reason"]) == (409, "Conflict")
    assert (await api("GET", f"{toys}/a")).code == 200


async def test_propagation_is_left_to_the_garbage_collector(api, toys, toy):
    await api("POST", toys, toy())

    foreground = await api("DELETE", f"{toys}/a?propagationPolicy=Foreground")

    assert foreground.body["metadata"]["finalizers"] == ["foregroundDeletion"]


async def test_delete_collection_deletes_the_selected_objects(api, toys, toy):
    for name, color in (("a", "red"), ("b", "blue")):
        await api("POST", toys, toy(name, labels={"color": color}))

    await api("DELETE", f"{toys}?labelSelector=color%3Dred")

    left = await api("GET", toys)
    assert [item["metadata"]["name"] for item in left.body["items"]] == ["b"]


async def test_deleting_a_crd_deletes_its_objects(api, toys, toy):
    await api("POST", toys, toy())
    await api("POST", toys, toy("held", finalizers=["example.dev/hold"]))

    deleted = await api("DELETE", f"{api.crds}/toys.example.dev")
    refused = await api("POST", toys, toy("late"))
    await api.merge(f"{toys}/held", {"metadata": {"finalizers": None}})

    assert deleted.body["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert refused.code in (404, 405)
    assert (await api("GET", f"{api.crds}/toys.example.dev")).code == 404
    assert (await api("GET", toys)).code == 404


async def test_a_name_of_ten_thousand_characters_is_looked_up_and_not_found(api, toys):
    answer = await api("GET", f"{toys}/{'n' * 10_000}")

    assert (answer.code, answer.body["reason"]) == (404, "NotFound")


async def test_a_huge_body_is_refused_before_it_is_read(api, toys, toy):
    answer = await api("POST", toys, toy(annotations={"a": "x" * 4_000_000}))

    assert answer.code == 413


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        pytest.param("configmaps", {"metadata": {"name": "m"}, "data": {"a": "x" * 1_100_000}}, 422, id="config-map"),
        pytest.param("events", {"metadata": {"name": "e"}, "message": "x" * 1_600_000}, 500, id="anything"),
    ],
)
async def test_an_object_too_large_for_etcd_is_not_stored(api, path, body, code):
    answer = await api("POST", f"{api.core}/{path}", {**body, "involvedObject": {}})

    assert answer.code == code
    assert (await api("GET", f"{api.core}/{path}")).body["items"] == []
