"""The CA certificates with which runner pods check the gateway's certificate, from a file of the operator.

Read once at the start, because the inputs of pods must not change in a running process. The operator's process runs
`replaced` and ends when it returns. Never reads a private key.
"""

import asyncio
import ssl
from pathlib import Path
from typing import Final

from agentjobs.errors import Misconfigured

# Each pod's annotations contain a copy, and may have 256 KiB in total.
MAX_BYTES: Final = 64 * 1024
# A kubelet updates a Secret's volume in about a minute; CA certificates change every few years.
POLL_SECONDS: Final = 60.0


def read(path: Path) -> str:
    """Return the PEM certificates in a file.

    Raises:
        Misconfigured: the file is missing, too large, or contains no certificate.
    """
    name = f"gateway_ca_file {path}"
    try:
        text = path.read_text(encoding="ascii")
    except OSError as error:
        raise Misconfigured(f"{name}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{name}: is not PEM text; convert it with `openssl x509 -inform der`") from error
    if len(text) > MAX_BYTES:
        raise Misconfigured(
            f"{name}: has {len(text)} bytes; use at most {MAX_BYTES}, with only the gateway's CA certificates"
        )
    if "PRIVATE KEY" in text:
        raise Misconfigured(f"{name}: contains a private key, which must not reach runner pods; keep only certificates")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise Misconfigured(f"{name}: contains no PEM certificate: {error}") from error
    return text


async def replaced(path: Path, known: str, *, every: float = POLL_SECONDS) -> None:
    """Return when the file's certificates differ from `known`; a half-written file is read again."""
    while True:
        await asyncio.sleep(every)
        try:
            if read(path) != known:
                return
        except Misconfigured:
            continue
