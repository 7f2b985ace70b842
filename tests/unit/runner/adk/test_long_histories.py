"""Requests of long histories: the same as ADK's own, in a time that does not grow."""

import random

import pytest
from google.adk.agents.llm_agent import LlmAgent
from google.adk.agents.run_config import RunConfig
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.flows.llm_flows.context import _contents
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import InMemoryRunner
from google.adk.telemetry import tracing
from google.adk.telemetry.context import TelemetryConfig
from google.genai import types

from agentjobs_runner.adk import long_histories
from agentjobs_runner.adk.long_histories import SHORT, Histories

ADKS = long_histories._ADKS_CONTENTS
OPTIONS = {"preserve_function_call_ids": False, "isolation_scope": None, "node_path": "a@1", "user_content": None}


def event(author, *parts, role="model", **more):
    content = types.Content(role=role, parts=list(parts)) if parts else None
    return Event(author=author, invocation_id="i", content=content, **more)


def call(number, name="tool"):
    return types.Part(function_call=types.FunctionCall(id=f"adk-{number}", name=name, args={"n": number}))


def answer(number, name="tool"):
    response = types.FunctionResponse(id=f"adk-{number}", name=name, response={"n": number})
    return types.Part(function_response=response)


def turn(number, author="a", **more):
    return [
        event(author, call(number), **more),
        event(author, answer(number), role="user", **more),
    ]


def odd(dice, number):
    """Something that is not one call and its result."""
    text = types.Part(text=f"text {number}")
    return dice.choice(
        [
            lambda: [event("a", call(number), call(f"{number}b")), event("a", answer(number), answer(f"{number}b"))],
            lambda: [event("a", call(number)), event("a", text), event("a", answer(number))],
            lambda: [event("a", call(number))],
            lambda: [event("a", answer(f"nobody's {number}"))],
            lambda: [event("a", call("again")), event("a", answer("again"))],
            lambda: [event("a", types.Part(function_call=types.FunctionCall(name="bare", args={})))],
            lambda: [event("a", text, branch=dice.choice(["x", "tool@adk-3", f"b@adk-{number}", "a@1.tool@adk-5"]))],
            lambda: [event("a", text, isolation_scope="other")],
            lambda: [event("a", types.Part(text="hm", thought=True))],
            lambda: [event("a", call(number), long_running_tool_ids={f"adk-{number}"})],
            lambda: [event("a", actions=EventActions(state_delta={"n": number}))],
            lambda: [event("user", text, role="user")],
            lambda: [event("a", actions=EventActions(rewind_before_invocation_id="i"))] if dice.random() < 0.1 else [],
            lambda: [event("user", input_transcription=types.Transcription(text="said"))],
            lambda: turn(number, "b"),
            lambda: [event("b", call(number)), event("a", answer(number))],
        ]
    )()


def history(seed):
    dice = random.Random(seed)
    yield event("user", types.Part(text="go"), role="user")
    for number in range(60):
        yield from odd(dice, number) if dice.random() < 0.08 else turn(number)


@pytest.mark.parametrize("seed", [*range(11), 75])
def test_a_request_equals_the_one_built_by_adk(seed):
    ours, events, branch = Histories(), [], "x" if seed % 2 else None

    for one in history(seed):
        events.append(one)
        expected = ADKS(branch, events, "a", **OPTIONS)

        assert ours.contents(branch, events, "a", **OPTIONS) == expected


@pytest.fixture
def long():
    return [one for number in range(SHORT) for one in turn(number)]


@pytest.mark.parametrize("last", [[types.Part(text="hm", thought=True)], []])
def test_a_late_answer_is_the_newest_even_if_events_without_content_follow(last, long):
    ours, text = Histories(), types.Part(text="meanwhile")
    late = [event("a", call("x")), event("a", text), event("a", answer("x"), role="user"), event("a", *last)]

    for one in late:
        long.append(one)

        assert ours.contents(None, long, "a", **OPTIONS) == ADKS(None, long, "a", **OPTIONS)


@pytest.fixture
def event_counts(monkeypatch):
    """How many events ADK's own function saw in each of its calls."""
    seen = []

    def counting(branch, events, *args, **more):
        seen.append(len(events))
        return ADKS(branch, events, *args, **more)

    monkeypatch.setattr(long_histories, "_ADKS_CONTENTS", counting)
    return seen


def test_adk_processes_no_event_in_more_than_two_requests(long, event_counts):
    ours = Histories()
    ours.contents(None, long, "a", **OPTIONS)
    event_counts.clear()

    for number in range(SHORT, SHORT + 10):
        long += turn(number)
        ours.contents(None, long, "a", **OPTIONS)

    assert max(event_counts) <= 4


@pytest.mark.parametrize(
    "change",
    [
        lambda events: events.pop(4),
        lambda events: events.__setitem__(4, event("a", types.Part(text="hidden"))),
        lambda events: setattr(events[4], "content", None),
        lambda events: setattr(events[4], "author", "b"),
        lambda events: events[4].content.parts.clear(),
        lambda events: setattr(events[4].content.parts[0], "function_call", None),
        lambda events: setattr(events[4].content.parts[0].function_call, "id", "other"),
        lambda events: events[4].content.parts[0].function_call.args.update(n="hidden"),
    ],
)
def test_a_later_change_of_an_event_is_respected(change, long):
    ours = Histories()
    ours.contents(None, long, "a", **OPTIONS)

    change(long)

    assert ours.contents(None, long, "a", **OPTIONS) == ADKS(None, long, "a", **OPTIONS)


@pytest.mark.parametrize(
    "change",
    [
        lambda contents: contents.clear(),
        lambda contents: contents[4].parts.append(types.Part(text="more")),
        lambda contents: setattr(contents[4], "role", "user"),
        lambda contents: setattr(contents[4].parts[0], "function_call", None),
        lambda contents: setattr(contents[4].parts[0].function_call, "args", {}),
        lambda contents: setattr(contents[5].parts[0].function_response, "response", {}),
    ],
)
def test_a_callbacks_change_of_a_request_is_not_in_the_next(change, long):
    ours = Histories()
    expected = ADKS(None, long, "a", **OPTIONS)

    change(ours.contents(None, long, "a", **OPTIONS))

    assert ours.contents(None, long, "a", **OPTIONS) == expected == ADKS(None, long, "a", **OPTIONS)


class Asked(BaseLlm):
    """Calls a tool again and again; keeps what it was asked."""

    requests: list

    async def generate_content_async(self, llm_request, stream=False):
        self.requests.append([content.model_dump(mode="json") for content in llm_request.contents])
        number = len(self.requests)
        part = call(number, "look") if number <= 2 * SHORT else types.Part(text="done")
        yield LlmResponse(content=types.Content(role="model", parts=[part]))


def look(n: int):
    return {"n": n}


async def test_requests_of_a_long_run_equal_those_of_adk(monkeypatch):
    event_counts = []
    for contents in (ADKS, Histories().contents):
        monkeypatch.setattr(_contents, "_get_contents", contents)
        runner = InMemoryRunner(LlmAgent(name="a", model=Asked(model="m", requests=[]), tools=[look]), app_name="app")
        await runner.session_service.create_session(app_name="app", user_id="u", session_id="s")
        message = types.Content(role="user", parts=[types.Part(text="go")])
        async for _ in runner.run_async(user_id="u", session_id="s", new_message=message):
            pass
        event_counts.append(runner.agent.model.requests)

    assert len(event_counts[0]) == 2 * SHORT + 1
    assert event_counts[0] == event_counts[1]


@pytest.fixture
def described(monkeypatch):
    seen = []
    monkeypatch.setattr(long_histories, "_ADKS_SPAN", lambda request, *_, **__: seen.append(len(request.contents)))
    return seen


@pytest.mark.parametrize(("asked_for", "contents"), [(None, 0), ("NO_CONTENT", 0), ("SPAN_ONLY", 1), ("EVENT_ONLY", 1)])
def test_contents_are_described_only_if_telemetry_captures_them(asked_for, contents, described):
    request = LlmRequest(contents=[types.Content(role="user", parts=[])])

    long_histories._span(request, {}, TelemetryConfig(capture_message_content=asked_for))

    assert (described, len(request.contents)) == ([contents], 1)


def test_the_replaced_function_is_the_one_that_adk_calls(monkeypatch):
    monkeypatch.setattr(_contents, "_get_contents", ADKS)
    monkeypatch.setattr(tracing, "_use_native_generate_content_span", long_histories._ADKS_SPAN)

    long_histories.install()

    assert "_get_contents" in _contents._ContentLlmRequestProcessor.run_async.__code__.co_names
    assert "_use_native_generate_content_span" in tracing.use_inference_span.__wrapped__.__code__.co_names
    assert RunConfig().telemetry is None or RunConfig().telemetry.capture_message_content is None
