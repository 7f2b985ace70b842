from agentjobs.bounded import Bounded


def test_the_least_recently_used_value_is_dropped() -> None:
    store: Bounded[str, int] = Bounded(2)
    store.put("a", 1)
    store.put("b", 2)

    assert store.get("a") == 1
    store.put("c", 3)

    assert [store.get(key) for key in "abc"] == [1, None, 3]
    assert len(store) == 2


def test_a_value_that_is_set_again_counts_as_used() -> None:
    store: Bounded[str, int] = Bounded(2)
    for key in ("a", "b", "a", "c"):
        store.put(key, 1)

    assert [key in store for key in "abc"] == [True, False, True]


def test_a_dropped_value_is_not_found() -> None:
    store: Bounded[str, int] = Bounded(2)
    store.put("a", 1)
    store.drop("a")
    store.drop("never there")

    assert store.get("a") is None
