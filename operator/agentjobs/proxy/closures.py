"""The closed keys: from rejections that this proxy got, and from those that history has of other proxies."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Closure:
    until: float
    noted: float


class Closures:
    """Closed keys, for one model or all of them (empty). A key stays closed until it is known to be open.

    Args:
        time: of all deadlines here.
    """

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._known: dict[tuple[str, str], _Closure] = {}

    def seconds(self, key: str, model: str) -> float | None:
        """Return for how long a key is closed for a model; 0 if it may be tried, None if it is open."""
        found = [closure.until for closure in map(self._known.get, _places(key, model)) if closure is not None]
        return max(0.0, max(found) - self._time()) if found else None

    def close(self, key: str, model: str, seconds: float) -> bool:
        """Record that a key is closed; return whether that is new."""
        now, known = self._time(), self._known.get((key, model))
        if known is not None and known.until > now + seconds - 1:
            return False
        self._known[key, model] = _Closure(now + seconds, now)
        return True

    def update(self, model: str, keys: Iterable[str], closed: Mapping[str, float], *, as_of: float) -> None:
        """Record what history has about some keys: which are closed, and for how many seconds."""
        self._replace(
            [place for key in keys for place in _places(key, model)],
            {(key, model): seconds for key, seconds in closed.items()},
            as_of,
        )

    def update_all(self, closed: Mapping[tuple[str, str], float], *, as_of: float) -> None:
        """Record what history has about all keys."""
        self._replace(list(self._known), closed, as_of)

    def _replace(
        self, places: Iterable[tuple[str, str]], closed: Mapping[tuple[str, str], float], as_of: float
    ) -> None:
        for place in places:
            # A rejection may be newer than the answer from history.
            if place in self._known and self._known[place].noted < as_of:
                del self._known[place]
        now = self._time()
        self._known |= {place: _Closure(now + seconds, now) for place, seconds in closed.items()}


def _places(key: str, model: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (key, ""), (key, model)
