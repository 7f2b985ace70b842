"""What every runner pod gets a copy of is checked before the first one does."""

import datetime

import pytest

from agentjobs import ca_bundle
from agentjobs.errors import Misconfigured
from devcluster.certificates import Authority

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, name="ca", now=NOW)


def test_the_certificates_are_passed_on_unchanged(authority):
    assert ca_bundle.read(authority.certificate) == authority.certificate.read_text()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(None, "No such file", id="absent"),
        pytest.param(b"", "no PEM certificate", id="empty"),
        pytest.param(
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no PEM certificate", id="broken"
        ),
        pytest.param(b"\x30\x82\xff", "is not PEM text", id="der"),
        pytest.param(b"#" * (ca_bundle.MAX_BYTES + 1), "at most 65536", id="a-systems-bundle"),
        pytest.param(b"-----BEGIN PRIVATE KEY-----\n", "contains a private key", id="key"),
    ],
)
def test_an_invalid_certificate_bundle_is_refused(tmp_path, content, complaint):
    path = tmp_path / "ca.crt"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(Misconfigured, match=complaint) as refused:
        ca_bundle.read(path)

    assert str(path) in str(refused.value)


async def test_a_new_ca_bundle_is_loaded_and_a_partly_written_one_is_not(authority, tmp_path):
    path, contents = authority.certificate, []
    known = path.read_text()
    other = Authority(tmp_path, name="other", now=NOW).certificate.read_text()
    # What the file holds at each look: the same, half of the new one, all of it.
    looks = iter([known, other[:100], other])

    class File:
        def read_text(self, encoding):
            contents.append(next(looks))
            return contents[-1]

    await ca_bundle.replaced(File(), known, every=0)

    assert contents == [known, other[:100], other]
