"""The same steps, recorded by DBOS as dbos-google-adk does: `python dbos_steps.py DSN COUNT SIZE`, with `dbos`.

Prints the seconds of each step as a JSON list. It runs in an interpreter of its own, and imports nothing of ours.
"""

import asyncio
import json
import random
import sys
import time

from dbos import DBOS  # type: ignore[import-not-found]

DSN, COUNT, SIZE = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
LETTERS = "etaoinshrdlu     "


@DBOS.step()  # type: ignore[misc]
async def answer(text: str) -> dict[str, str]:
    """What a model would give."""
    return {"content": text}


@DBOS.workflow()  # type: ignore[misc]
async def work() -> list[float]:
    """Take one step after the other."""
    waits = []
    for _ in range(COUNT):
        text = "".join(random.choices(LETTERS, k=SIZE))
        began = time.perf_counter()
        await answer(text)
        waits.append(time.perf_counter() - began)
    return waits


async def main() -> None:
    """Record, and print how long each took."""
    DBOS(config={"name": "bench", "system_database_url": DSN, "log_level": "ERROR"})
    DBOS.launch()
    print(json.dumps(await work()))
    DBOS.destroy()


asyncio.run(main())
