"""Protobuf bodies of kubectl 1.32 and newer."""

import random

import pytest

MEDIA = "application/vnd.kubernetes.protobuf"


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def envelope(api_version: str, kind: str, message: bytes) -> bytes:
    return b"k8s\0" + field(1, field(1, api_version) + field(2, kind)) + field(2, message)


CONFIG_MAP = envelope(
    "v1",
    "ConfigMap",
    field(1, field(1, "m") + field(11, field(1, "a") + field(2, "b")))
    + field(2, field(1, "k") + field(2, "v"))
    + field(4, 1),
)


async def test_a_config_map_is_received_unchanged(api):
    made = await api("POST", f"{api.core}/configmaps", CONFIG_MAP, media=MEDIA)

    assert made.code == 201
    assert made.body["metadata"]["labels"] == {"a": "b"}
    assert (made.body["data"], made.body["immutable"]) == ({"k": "v"}, True)


async def test_a_role_is_received_unchanged(api):
    rule = field(1, "get") + field(1, "list") + field(2, "") + field(3, "pods") + field(4, "mine")
    role = envelope("rbac.authorization.k8s.io/v1", "Role", field(1, field(1, "r")) + field(2, rule))

    made = await api("POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles", role, media=MEDIA)

    assert made.code == 201
    assert made.body["rules"] == [
        {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["mine"]}
    ]


async def test_delete_options_can_be_protobuf(api):
    await api("POST", f"{api.core}/configmaps", CONFIG_MAP, media=MEDIA)
    options = envelope("v1", "DeleteOptions", field(2, field(1, "other")))

    answer = await api("DELETE", f"{api.core}/configmaps/m", options, media=MEDIA)

    assert (answer.code, answer.body["reason"]) == (409, "Conflict")


async def test_other_kinds_are_refused_with_a_workaround(api):
    answer = await api("POST", f"{api.core}/pods", envelope("v1", "Pod", b""), media=MEDIA)

    assert (answer.code, "kubectl apply" in answer.body["message"]) == (415, True)


@pytest.mark.parametrize("seed", range(20))
async def test_damaged_bodies_are_bad_requests(api, seed):
    chosen = random.Random(seed)
    damaged = bytearray(CONFIG_MAP)
    for _ in range(3):
        damaged[chosen.randrange(len(damaged))] = chosen.randrange(256)

    answer = await api("POST", f"{api.core}/configmaps?dryRun=All", bytes(damaged), media=MEDIA)

    assert answer.code in (201, 400, 415, 422)
