"""`python -m agentjobs_runner.workspace clone|publish`: the environment in, an exit code out."""

import importlib
import os
import signal
import sys
import traceback
from typing import Final

WORKS: Final = {"clone": "agentjobs_runner.workspace.clone", "publish": "agentjobs_runner.workspace.publish"}
"""The module of each container; its `work` is what the container does."""


def main() -> None:
    """Do what the argument names, and end the process."""
    # Until somebody listens: the first process of a container misses them, and any other dies of them.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    from agentjobs_runner.workspace import container

    code = 70
    try:
        if len(sys.argv) != 2 or sys.argv[1] not in WORKS:
            print(f"usage: python -m agentjobs_runner.workspace {'|'.join(WORKS)}", file=sys.stderr)
            code = 64
        else:
            code = container.run(os.environ, importlib.import_module(WORKS[sys.argv[1]]).work)
    except BaseException:  # the process's outermost line: os._exit would swallow what went wrong
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
