"""Take the figures of docs/reference/performance.md: `python -m tests.bench [NAME …] [--runs N] [--json FILE]`.

Without names all of them. Nothing here judges: aims are shown next to them, the suite asserts no time.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.bench import (
    admission,
    burst,
    follow_ups,
    jobs,
    killed,
    quiet,
    ready,
    replay,
    restart,
    rules,
    schedules,
    server,
    specs,
    startup,
)
from tests.bench.figures import Figure, machine, table, write_json

AIM_FIRST_CALL = 0.7


def start_up(runs: int) -> list[Figure]:
    """Process start to first model call, ours next to a bare script's in turns; medians over the rounds."""
    rounds = max(runs, startup.ROUNDS)
    with quiet.run():
        found = startup.main(rounds)
    peer = {"peer_name": "bare ADK script"}
    first, bare_first = (found["runner_first_call"],), (found["bare_first_call"],)
    whole, bare_whole = (found["runner_process"],), (found["bare_process"],)
    return [
        Figure(
            f"process start to first model call, {rounds} rounds", "s", first, AIM_FIRST_CALL, peer=bare_first, **peer
        ),
        Figure(f"whole process with one model call, {rounds} rounds", "s", whole, peer=bare_whole, **peer),
    ]


MEASURES: Mapping[str, Callable[[int], list[Figure]]] = {
    "ready": ready.measure,
    "startup": start_up,
    "latency": jobs.measure_latency,
    "throughput": jobs.measure_throughput,
    "server": server.measure,
    "follow-ups": follow_ups.measure,
    "burst": burst.measure,
    "schedules": schedules.measure,
    "restart": restart.measure,
    "killed": killed.measure,
    "rules": rules.measure,
    "admission": admission.measure,
    "specs": specs.measure,
    "replay": replay.measure,
}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MEASURES)}; all by default")
    parser.add_argument("--runs", type=int, default=3, help="of each figure (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there, too")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(MEASURES):
        parser.error(f"no figure {', '.join(sorted(unknown))}: choose of {', '.join(MEASURES)}")
    before = machine()
    figures: list[Figure] = []
    for name in arguments.names or MEASURES:
        found = MEASURES[name](arguments.runs)
        print(f"{name}\n{table(found)}\n", flush=True)
        figures += found
    others = [round(share, 2) for share in quiet.disturbance()]
    where = before | {"load after": machine()["load"], "others' share of the processors in each run": others}
    print(", ".join(f"{key} {value}" for key, value in where.items()))
    if len(arguments.names) != 1:
        print(table(figures))
    if arguments.json:
        write_json(arguments.json, figures, where)


if __name__ == "__main__":
    main()
