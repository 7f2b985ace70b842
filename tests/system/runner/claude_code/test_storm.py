"""A job of Claude Code that is killed repeatedly: it answers, and no step is done twice."""

import random
import signal
import time
from collections import Counter

from tests.system.runner.claude_code.conftest import bash

KILLS = 10
ACTS = 12


def test_a_job_killed_ten_times_answers_and_repeats_nothing(job, tmp_path):
    effects, seed = tmp_path / "effects", random.randrange(2**32)
    chance = random.Random(seed)
    acts = [{"tools": [bash(f"echo {n} >> {effects}; sleep 0.1")], "delay": 0.1} for n in range(ACTS)]
    one = job(*acts, {"text": "All done."})
    run = one.start()
    for _ in range(KILLS):
        until = time.monotonic() + chance.uniform(0.5, 4)
        while time.monotonic() < until and run.process.poll() is None:
            time.sleep(0.02)
        if run.process.poll() is not None:
            break
        run.send(signal.SIGKILL)
        run.wait()
        run = one.start()
    run.wait()

    assert run.verdict == ("Succeed", "ResultAccepted"), f"seed {seed}: {run.err}"
    assert run.message.summary == "All done."
    # The API asks for each once; a second effect is one that the CLI or we repeated.
    done = Counter(effects.read_text().split())
    assert set(done.values()) == {1}, f"seed {seed}: {done}"
    answers = {request.body["messages"][-1]["role"] for request in one.api.requests}
    assert answers <= {"user", "system"}
