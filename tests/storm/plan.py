"""The plan of a storm, drawn from its seed before it begins: the times of jobs and faults. Pure.

The same seed, length and API server give the same plan. What then happens between two processes is timing, and no seed
holds that.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Backend = Literal["embedded", "envtest"]

CALM = 0.2
"""Share of the storm at its end in which nothing breaks any more, and jobs still come."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that breaks, and how long it stays broken; times in seconds from the storm's beginning."""

    at: float
    kind: str
    target: str
    seconds: float = 0.0
    value: int = 0
    """A code, a number of events, an offset of a clock, or which of many."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One job and what its user does with it later."""

    at: float
    name: str
    shape: str
    later: float = 0.0
    """Seconds after the creation at which its user cancels, suspends, deletes … it."""
    group: int = 0
    """Which session it shares."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole storm."""

    seed: int
    seconds: float
    backend: Backend
    operators: int
    faults: tuple[Fault, ...]
    wishes: tuple[Wish, ...]
    triggers: tuple[float, ...] = ()
    """When somebody triggers a schedule by hand."""

    @property
    def calm_at(self) -> float:
        """From here on everything is well again."""
        return self.seconds * (1 - CALM)


# Weights: what happens to every cluster every day comes more often than what happens once a year. A runner of a real
# process costs a second of CPU, so most pods are pretended; what they leave behind is what runners leave.
REAL: Mapping[str, int] = {
    "ok": 6,
    "tool": 6,
    "slow": 3,
    "flaky": 2,
    "limited": 2,
    "crash": 2,
    "refused-key": 1,
    "timeout": 1,
    "cancel": 2,
    "delete": 2,
    "pause": 2,
    "session": 3,
}
PRETENDED: Mapping[str, int] = {
    "i-ok": 12,
    "i-slow": 4,
    "i-retry": 3,
    "i-snooze": 3,
    "i-fail": 2,
    "i-give-up": 2,
    "i-vanish": 2,
    "i-cancel": 2,
    "i-delete": 2,
    "i-pause": 2,
    "i-session": 3,
    "i-ttl": 2,
    "i-later": 2,
    "i-waits": 1,
    "i-invalid": 1,
    "i-again": 1,
}
LATER: Mapping[str, tuple[float, float]] = {"waits": (2, 8), "again": (0.2, 3)}
SESSIONS = 3

OPERATOR = "operator"
"""As a target: one of them."""
# kind: weight, targets, shortest and longest time in seconds.
_EVERYWHERE: Mapping[str, tuple[int, tuple[str, ...], tuple[float, float]]] = {
    "kill": (8, (OPERATOR,), (0, 3)),
    "stop": (5, (OPERATOR,), (0.5, 9)),
    "turn-clock": (3, (OPERATOR,), (2, 10)),
    "delete-lease": (1, ("lease",), (0, 0)),
    "steal-lease": (2, ("lease",), (0, 0)),
    "kill-gateway": (5, ("gateway",), (0, 4)),
    "stop-gateway": (2, ("gateway",), (1, 8)),
    "kill-postgres": (4, ("postgres",), (0.2, 4)),
    "stop-postgres": (3, ("postgres",), (1, 15)),
    "fill-disk": (3, ("postgres",), (2, 8)),
    "kill-runner": (8, ("runner",), (0, 0)),
    "delete-pod": (5, ("pod",), (0, 0)),
    "kill-node": (2, ("node",), (0, 0)),
}
_EMBEDDED: Mapping[str, tuple[int, tuple[str, ...], tuple[float, float]]] = {
    "slow-api": (2, ("apiserver",), (2, 6)),
    "failing-writes": (5, ("apiserver",), (2, 8)),
    "lost-answers": (4, ("apiserver",), (2, 8)),
    "late-lists": (2, ("apiserver",), (2, 6)),
    "late-watches": (4, ("apiserver",), (2, 8)),
    "short-watches": (3, ("apiserver",), (2, 8)),
    "cut-watches": (3, ("apiserver",), (0, 0)),
    "compact": (3, ("apiserver",), (0, 0)),
}
_ENVTEST: Mapping[str, tuple[int, tuple[str, ...], tuple[float, float]]] = {
    "kill-apiserver": (4, ("apiserver",), (0, 3)),
    "stop-apiserver": (4, ("apiserver",), (1, 8)),
    "compact": (2, ("apiserver",), (0, 0)),
}
CODES = (409, 429, 500, 503, 504)
REST = 2.0
"""Seconds a target is left alone after it was mended."""
TRIGGER_EVERY = 8.0


def draw(
    seed: int,
    seconds: float,
    backend: Backend,
    *,
    operators: int = 3,
    every: float = 2.5,
    jobs_per_second: float = 3.4,
) -> Plan:
    """Draw a storm.

    Args:
        operators: how many there are to break.
        every: mean seconds between two faults.
        jobs_per_second: how many jobs come; one in sixteen has a runner of a real process.
    """
    # Streams of their own, so that the same users come whatever breaks, on either API server.
    users, breaks = random.Random(f"jobs {seed}"), random.Random(f"faults {seed}")
    triggers = tuple(_triggers(random.Random(f"triggers {seed}"), seconds))
    wishes = tuple(_wishes(users, seconds, jobs_per_second))
    names = ("operator", *(f"operator-{number}" for number in range(2, operators + 1)))
    faults = tuple(_faults(breaks, seconds * (1 - CALM), every, backend, names))
    return Plan(seed, seconds, backend, operators, faults, wishes, triggers)


def _wishes(rng: random.Random, seconds: float, rate: float) -> Iterator[Wish]:
    at, number = 0.0, 0
    while (at := at + rng.expovariate(rate)) < seconds:
        number += 1
        shape = _pick(rng, REAL if rng.random() < 0.06 else PRETENDED)
        later = rng.uniform(*LATER.get(shape.removeprefix("i-"), (0.1, 5)))
        yield Wish(round(at, 2), f"{shape}-{number}", shape, round(later, 2), rng.randrange(SESSIONS))


def _triggers(rng: random.Random, seconds: float) -> Iterator[float]:
    at = 0.0
    while (at := at + rng.expovariate(1 / TRIGGER_EVERY)) < seconds:
        yield round(at, 2)


def _faults(
    rng: random.Random, seconds: float, every: float, backend: Backend, operators: tuple[str, ...]
) -> Iterator[Fault]:
    kinds = {**_EVERYWHERE, **(_EMBEDDED if backend == "embedded" else _ENVTEST)}
    weights = {kind: weight for kind, (weight, _, _) in kinds.items()}
    free_at: dict[str, float] = {}
    at = 0.0
    while (at := at + rng.expovariate(1 / every)) < seconds:
        kind = _pick(rng, weights)
        _, targets, (shortest, longest) = kinds[kind]
        target = rng.choice(operators if targets == (OPERATOR,) else targets)
        lasts = round(min(rng.uniform(shortest, longest), seconds - at), 2)
        value = _value(rng, kind)
        if at < free_at.get(target, 0.0):
            continue  # no one can break what is broken
        free_at[target] = at + lasts + REST
        yield Fault(round(at, 2), kind, target, lasts, value)


def _value(rng: random.Random, kind: str) -> int:
    match kind:
        case "failing-writes":
            return rng.choice(CODES)
        case "turn-clock":
            # Below the quarter of an hour after which a start that shows no container is given up.
            return rng.choice((-1, 1)) * rng.randint(5, 600)
        case _:
            return rng.randrange(1, 100)


def _pick(rng: random.Random, weights: Mapping[str, int]) -> str:
    return rng.choices(list(weights), list(weights.values()))[0]
