"""`python -m agentjobs_runner.workspace clone|publish`: the environment in, an exit code out."""

import importlib
import os
import signal
import sys
import traceback
from typing import Final

WORKS: Final = {"clone": "agentjobs_runner.workspace.clone", "publish": "agentjobs_runner.workspace.publish"}
"""The module of each container; its `work` does the container's work."""


def main() -> None:
    """Run the container of the argument, and end the process."""
    # Until handlers are installed: PID 1 of a container ignores signals, and any other process dies.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    from agentjobs_runner.workspace import container

    code = 70
    try:
        if len(sys.argv) != 2 or sys.argv[1] not in WORKS:
            print(f"usage: python -m agentjobs_runner.workspace {'|'.join(WORKS)}", file=sys.stderr)
            code = 64
        else:
            code = container.run(os.environ, importlib.import_module(WORKS[sys.argv[1]]).work)
    except BaseException:  # os._exit would hide the error
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
