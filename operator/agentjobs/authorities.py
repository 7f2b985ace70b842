"""The certificates that runner pods check the gateway's with, as the operator finds them in a file.

Read once at the start, because what every pod is made from shall not change under way. Whoever runs the operator calls
`replaced` beside it and ends it when that returns. Never reads a private key.
"""

import asyncio
import ssl
from pathlib import Path
from typing import Final

from agentjobs.errors import Invalid

# The copy travels in each pod's annotations, of which a pod may have 256 KiB.
MAX_BYTES: Final = 64 * 1024
# A kubelet brings a changed Secret to its volume within a minute or so; authorities change once in years.
LOOK_SECONDS: Final = 60.0


def read(path: Path) -> str:
    """Return the PEM certificates in a file.

    Raises:
        Invalid: there is no such file, it is too large, or none of it is a certificate.
    """
    name = f"gateway_ca_file {path}"
    try:
        text = path.read_text(encoding="ascii")
    except OSError as error:
        raise Invalid(f"{name}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Invalid(f"{name}: is not PEM text; convert it with `openssl x509 -inform der`") from error
    if len(text) > MAX_BYTES:
        raise Invalid(f"{name}: has {len(text)} bytes, at most {MAX_BYTES} fit; leave only the gateway's authorities")
    if "PRIVATE KEY" in text:
        raise Invalid(f"{name}: holds a private key, which must not reach runner pods; leave only certificates")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise Invalid(f"{name}: holds no PEM certificate: {error}") from error
    return text


async def replaced(path: Path, known: str, *, every: float = LOOK_SECONDS) -> None:
    """Return when the file holds other certificates than `known`; looks again when it catches half a change."""
    while True:
        await asyncio.sleep(every)
        try:
            if read(path) != known:
                return
        except Invalid:
            continue
