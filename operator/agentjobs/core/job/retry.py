"""Backoff as arithmetic: when the next attempt starts."""

import random
from datetime import timedelta

from agentjobs.api.job.spec import Backoff


def backoff(policy: Backoff, attempt: int, *, seed: str) -> timedelta:
    """Return the wait after charged attempt `attempt` (from 1): `min(initial × factor^(attempt-1), max)` ± jitter.

    The jitter is derived from `seed` (job uid and start), so that every operator and every repetition of the decision
    gets the same instant.
    """
    # 2^64 s exceeds every `max`; without the bound, factor 10 and 100 attempts overflow a float.
    growth = float(policy.factor) ** min(attempt - 1, 64)
    seconds = min(policy.initial.total_seconds() * growth, policy.max.total_seconds())
    spread = policy.jitter_percent / 100
    draw = random.Random(seed).uniform(-spread, spread)  # noqa: S311  jitter, not a secret
    return timedelta(seconds=seconds * (1 + draw))
