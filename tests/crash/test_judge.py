"""The judge sees what it has to see; the matrix is worth no more than this."""

from tests.crash.judge import Ended, differences, effects_of, transcripts


def lines(*words):
    """`lines("+a", "-a")`: a begins, a ends; `+b<a` has seen the outcome of a."""
    told = []
    for word in words:
        what, _, saw = word[1:].partition("<")
        told.append({"phase": "begin" if word[0] == "+" else "end", "what": what, "saw": saw.split(",")})
    return told


WHOLE = lines("+a", "-a", "+b<a", "-b", "+c<b", "-c")


def test_a_repeated_effect_is_found_if_another_effect_followed_it():
    first = lines("+a", "-a", "+b<a")

    one = effects_of(WHOLE, first, lines("+a", "-a", "+b", "-b", "+c", "-c"), at_once=False)

    assert (one.repeated, one.lost, one.point) == (["a"], [], "begin of b")


def test_the_last_effect_before_a_kill_can_be_repeated():
    first = lines("+a", "-a", "+b<a", "-b")

    one = effects_of(WHOLE, first, lines("+b", "-b", "+c", "-c"), at_once=False)

    assert one.is_good


def test_a_repeated_parallel_effect_is_found_if_a_later_effect_used_it():
    whole = lines("+a", "+b", "-a", "-b", "+c<a,b", "-c")
    every = lines("+a", "-a", "+b", "-b", "+c", "-c")

    seen = effects_of(whole, lines("+a", "+b", "-a", "-b", "+c<a,b"), every, at_once=True)
    unseen = effects_of(whole, lines("+a", "+b", "-a", "-b"), every, at_once=True)

    assert seen.repeated == ["a", "b"]
    assert unseen.is_good


def test_a_repeated_effect_is_found_if_it_was_recorded():
    whole, again = lines("+tool a(x)", "-tool a(x)"), lines("+tool a(x)", "-tool a(x)")

    held = effects_of(whole, whole, again, at_once=True, recorded={"tool a": 1})

    assert held.repeated == ["tool a (recorded)"]
    assert effects_of(whole, whole, again, at_once=True).is_good


def test_equal_effects_are_counted():
    whole = lines("+a", "-a", "+a", "-a", "+b<a", "-b")

    one = effects_of(whole, lines("+a", "-a", "+a", "-a", "+b<a"), lines("+a", "-a", "+b", "-b"), at_once=False)

    assert one.repeated == ["a"]


def test_missing_and_unexpected_effects_are_reported():
    one = effects_of(WHOLE, lines("+a"), lines("+a", "-a", "+x", "-x", "+c", "-c"), at_once=False)

    assert one.lost == ["b"]
    assert one.differs == ["unexpected x"]


def test_a_session_with_another_end_is_reported():
    whole = Ended("Succeed", "ResultAccepted", [{"text": "a"}], {"events": [1, 2], "state": {"k": 1}})
    other = Ended("Succeed", "ResultAccepted", [{"text": "b"}], {"events": [2, 1], "state": {"k": 1}})

    assert [one.split()[0] for one in differences(whole, other, at_once=False)] == ["result", "events"]
    assert [one.split()[0] for one in differences(whole, other, at_once=True)] == ["result"]


def test_an_entry_sent_by_two_starts_is_found_even_if_its_call_ids_differ():
    whole = [("tool", "a", {"name": "f", "callId": "1", "result": 1}), ("text", "a", {"text": "done"})]
    again = [("tool", "a", {"name": "f", "callId": "2", "result": 1})]

    assert [one.split()[2:4] for one in transcripts(whole, whole + again)] == [["tool", "a"]]
    assert transcripts(whole, whole[1:] + again) == []
