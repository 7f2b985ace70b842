"""Protobuf bodies: messages of a real server, and malformed ones."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devcluster.apiserver.errors import StatusError
from devcluster.apiserver.protobuf import decode

MESSAGES = json.loads((Path(__file__).parent / "golden" / "protobuf.json").read_text())["messages"]


def missing(sent: Any, read: Any) -> Any:
    """Return the parts of the sent object that were not decoded; the server adds fields of its own."""
    if isinstance(sent, dict) and isinstance(read, dict):
        found = {key: missing(value, read.get(key)) for key, value in sent.items()}
        return {key: value for key, value in found.items() if value is not None} or None
    return None if sent == read else sent


@pytest.mark.parametrize("message", MESSAGES, ids=[message["sent"]["kind"] for message in MESSAGES])
def test_a_message_is_read_as_the_object_it_was_made_from(message: dict[str, Any]) -> None:
    assert missing(message["sent"], decode(base64.b64decode(message["body"]))) is None


def wrapped(kind: str, body: bytes) -> bytes:
    type_meta = b"\x0a\x02v1\x12" + bytes([len(kind)]) + kind.encode()
    return b"k8s\x00\x0a" + bytes([len(type_meta)]) + type_meta + b"\x12" + bytes([len(body)]) + body


def test_a_grace_period_of_zero_is_not_treated_as_unset() -> None:
    assert decode(wrapped("DeleteOptions", b"\x08\x00"))["gracePeriodSeconds"] == 0


def test_unset_strings_and_times_are_left_out() -> None:
    metadata = b"\x0a\x01a\x12\x00\x42\x00"

    assert decode(wrapped("ConfigMap", b"\x0a" + bytes([len(metadata)]) + metadata))["metadata"] == {"name": "a"}


def test_an_unknown_kind_is_refused_with_a_workaround() -> None:
    with pytest.raises(StatusError, match="kubectl apply -f") as refused:
        decode(wrapped("Pod", b""))

    assert refused.value.code == 415


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"k8s\x00\xff",
        wrapped("ConfigMap", b"\x0a\x7f"),
        wrapped("ConfigMap", b"\x08\x01"),
        wrapped("ConfigMap", b"\x0b"),
        wrapped("ConfigMap", b"\xff" * 11),
        wrapped("ConfigMap", b"\x0a\x03\x0a\x01\xff"),
        wrapped("DeleteOptions", b"\x0a\x01a"),
    ],
)
def test_a_malformed_body_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(StatusError) as refused:
        decode(body)

    assert refused.value.code in (400, 415)


@given(st.binary(max_size=60), st.sampled_from(["ConfigMap", "Secret", "ServiceAccount", "DeleteOptions", "Namespace"]))
def test_any_bytes_are_read_or_refused(body: bytes, kind: str) -> None:
    try:
        read = decode(wrapped(kind, body))
    except StatusError:
        return
    json.dumps(read)
