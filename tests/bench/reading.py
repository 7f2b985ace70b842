"""How the CPU time of reading a hostile body grows with its size.

`python tests/bench/reading.py [--size BYTES]`. Each shape stands in each place, once of that size and once of four
times as much; told are the largest ratios and the slowest. Four is linear, sixteen quadratic: beyond eight the exit
status is 1.
"""

import argparse
import contextlib
import sys
import time
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.hostilebodies import PLACES, values

from agentjobs.gateway.bodies import parse
from agentjobs.problem import Problem

LIMIT: Final = 8.0
# What is read in less is noise.
FLOOR_SECONDS: Final = 0.0002
SHOWN: Final = 8


def seconds(model: type[Any], raw: bytes) -> float:
    """The CPU time of one reading, the best of five."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        with contextlib.suppress(Problem):
            parse(model, raw)
        best = min(best, time.process_time() - began)
    return best


def main() -> int:
    """Print the ratios; 1 when one is beyond the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256 * 1024)
    size = parser.parse_args().size
    small, large = values(size), values(4 * size)
    found = []
    for place, (model, body) in PLACES.items():
        for shape in small:
            few, many = (seconds(model, body(which[shape]).encode()) for which in (small, large))
            found.append((many / max(few, FLOOR_SECONDS), many, f"{shape} as {place}"))
    for title, key in (("largest ratios", 0), ("slowest", 1)):
        print(title)
        for ratio, took, what in sorted(found, key=lambda row: row[key], reverse=True)[:SHOWN]:
            print(f"  {ratio:5.1f}  {took * 1000:7.1f} ms  {what}")
    return int(max(found)[0] > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
