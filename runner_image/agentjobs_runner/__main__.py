"""`python -m agentjobs_runner`: reads the environment, returns an exit code.

The process ends with os._exit: a tool may have left threads that never end, and nothing of ours needs a cleanup.
"""

import gc

# Before any import: collecting while modules load only costs time. `engine` turns it on again.
gc.disable()

import os  # noqa: E402  see above
import sys  # noqa: E402  see above
import threading  # noqa: E402  see above
import traceback  # noqa: E402  see above

from agentjobs_runner import import_trim, signals  # noqa: E402  see above

# Time for a full pipe at the end; the log is less important than the verdict.
FLUSH_SECONDS = 1.0
# Time for descendants that start processes faster than they are killed.
KILL_SECONDS = 2.0


def main() -> None:
    """Run the pod's start, and end the process."""
    signals.block()
    import_trim.hide()
    from agentjobs_runner import attempt  # after hide(), because it imports httpx

    code = 70
    try:
        code = attempt.run(os.environ)
    except BaseException:  # os._exit would hide the error
        traceback.print_exc()
    finally:
        flusher = threading.Thread(target=_flush, daemon=True)
        flusher.start()
        flusher.join(FLUSH_SECONDS)
        _end_descendants()
        os._exit(code)


def _end_descendants() -> None:
    """End all processes of the agent before the next start; in a pod the kernel does that, too."""
    try:
        from agentjobs_runner import descendants  # imported late, because each import delays a start

        descendants.kill_all(seconds=KILL_SECONDS)
    except BaseException:
        traceback.print_exc()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: S112  user code may have closed or replaced it
            continue


if __name__ == "__main__":
    main()
