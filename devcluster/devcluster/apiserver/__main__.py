"""Runs the development API server as a separate process: `python -m devcluster.apiserver --folder F --port P`."""

import argparse
import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from devcluster.apiserver.server import ApiServer


async def _serve(folder: Path, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with ApiServer(folder, port=port) as server:
        sys.stdout.write(f"export KUBECONFIG={server.kubeconfig}\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    """Serve until SIGINT or SIGTERM; the first line of the output exports the KUBECONFIG."""
    parser = argparse.ArgumentParser(prog="python -m devcluster.apiserver", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where certificates and the kubeconfig go")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 for a free one")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments.folder, arguments.port))


if __name__ == "__main__":
    main()
