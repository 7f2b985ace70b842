"""Run pytest, and run its failures again if they are few: `python -m tests.secondrun OPTIONS -- PATHS`.

For tests of processes and clusters, in CI. The second run is a new process with one worker, so that nothing else
competes with it. Tests that pass only there are printed, and added to the file in SECONDRUN_REPORT.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

# More have a common cause, which a second run would only hide.
MOST = 3


def main(arguments: Sequence[str]) -> int:
    """Return pytest's exit code: of the second run if there was one."""
    code, failed = _pytest(arguments)
    if code != 1 or not 0 < len(failed) <= MOST:
        return code
    print(f"\nfailed, and run again alone: {', '.join(failed)}", flush=True)
    options = arguments[: arguments.index("--")]
    code, _ = _pytest([*options, "-n", "0", "--", *failed])
    if code == 0:
        _report(failed)
    return code


def _pytest(arguments: Sequence[str]) -> tuple[int, list[str]]:
    """Run pytest, and return its exit code and the names of the tests that failed."""
    with tempfile.TemporaryDirectory(prefix="agentjobs-tests-") as cache:
        code = subprocess.call([sys.executable, "-m", "pytest", "-q", "-o", f"cache_dir={cache}", *arguments])
        file = Path(cache, "v", "cache", "lastfailed")
        names = json.loads(file.read_text()) if file.exists() else {}
    # xdist appends the group of a test to its name: @GROUP.
    return code, [re.sub(r"@[^\]]*$", "", name) for name in names]


def _report(names: Sequence[str]) -> None:
    lines = [f"passed only when run again, alone: {name}" for name in names]
    print("\n".join(lines), flush=True)
    if path := os.environ.get("SECONDRUN_REPORT"):
        with Path(path).open("a") as report:
            report.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
