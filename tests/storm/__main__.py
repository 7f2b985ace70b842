"""Break everything that can break, by a seed, and see whether the promises hold: `python -m tests.storm --seed N`.

Prints the plan, then what it does while it does it, a line of progress now and then, and in the end a table and the
verdict. Exits with 1 when a promise was broken; then it names promise, job and the folder with the evidence.
"""

import argparse
import asyncio
import tempfile
from functools import partial
from pathlib import Path

from tests.storm.plan import Plan, draw
from tests.storm.run import Storm, forget

SHOWN = 20
"""Broken promises shown at most; the folder has all of them."""


def main() -> int:
    """Run one storm; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed draws the same storm (1)")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long it lasts, without its end (10)")
    parser.add_argument("--apiserver", choices=("embedded", "envtest"), default="embedded", help="(embedded)")
    parser.add_argument("--operators", type=int, default=3, help="how many, of which one leads (3)")
    parser.add_argument("--every", type=float, default=2.5, help="mean seconds between two faults (2.5)")
    parser.add_argument("--jobs", type=float, default=3.4, help="jobs a second (3.4: 2,000 in ten minutes)")
    parser.add_argument("--plan", action="store_true", help="print the plan and do nothing")
    arguments = parser.parse_args()
    plan = draw(
        arguments.seed,
        arguments.minutes * 60,
        arguments.apiserver,
        operators=arguments.operators,
        every=arguments.every,
        jobs_per_second=arguments.jobs,
    )
    say = partial(print, flush=True)
    say(_plan(plan))
    if arguments.plan:
        return 0
    folder = Path(tempfile.mkdtemp(prefix=f"storm-{arguments.seed}-"))
    storm = Storm(plan, folder, tell=say)
    broken = asyncio.run(storm.run())
    say(storm.table())
    if not broken:
        forget(folder)
        say("every promise held")
        return 0
    for one in broken[:SHOWN]:
        say(f"BROKEN  {one}")
    say(f"{len(broken)} broken; evidence and logs: {folder}")
    return 1


def _plan(plan: Plan) -> str:
    faults = "\n".join(
        f"{fault.at:7.1f} s  {fault.kind:<15} {fault.target} {fault.seconds:g} s {fault.value}" for fault in plan.faults
    )
    return (
        f"seed {plan.seed} on {plan.backend}: {len(plan.wishes)} jobs and {len(plan.faults)} faults in "
        f"{plan.seconds:.0f} s. The plan is the seed's; the timing between processes is the machine's.\n{faults}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
