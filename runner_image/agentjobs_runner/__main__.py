"""`python -m agentjobs_runner`: the environment in, an exit code out.

The process ends by `os._exit`: a tool may have left threads that never end, and nothing of ours waits for a clean-up.
"""

import gc

# Before anything is imported: collecting while modules load only costs time. `engine` turns it on again.
gc.disable()

import os  # noqa: E402  see above
import sys  # noqa: E402  see above
import threading  # noqa: E402  see above
import traceback  # noqa: E402  see above

from agentjobs_runner import import_trim, signals  # noqa: E402  see above

# What a full pipe may hold up at the end; the log is worth less than the verdict.
FLUSH_SECONDS = 1.0
# For descendants that start others faster than they are killed.
KILL_SECONDS = 2.0


def main() -> None:
    """Run the start this pod was made for, and end the process."""
    signals.block()
    import_trim.hide()
    from agentjobs_runner import attempt  # after hide(), because it imports httpx

    code = 70
    try:
        code = attempt.run(os.environ)
    except BaseException:  # the process's outermost line: os._exit would swallow what went wrong
        traceback.print_exc()
    finally:
        flusher = threading.Thread(target=_flush, daemon=True)
        flusher.start()
        flusher.join(FLUSH_SECONDS)
        _end_descendants()
        os._exit(code)


def _end_descendants() -> None:
    """Let nothing that the agent started go on beside the next start; in a pod the kernel sees to that as well."""
    try:
        from agentjobs_runner import descendants  # not before it is needed: a start waits for each import

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
