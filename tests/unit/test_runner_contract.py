"""docs/reference/runner-contract.md agrees with the code: documents, variables, limits, and their effects."""

import json
import re
from pathlib import Path
from typing import Any, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from agentjobs import contract
from agentjobs.contract import EXIT_CODES, EXIT_FENCED, ErrorClass, TerminationMessage, Verdict
from agentjobs.core.pods.diagnose import diagnose
from agentjobs.core.pods.pod import parse_pod
from agentjobs.gateway import bodies

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "runner-contract.md").read_text("utf-8")
GOLDEN = json.loads((ROOT / "tests/unit/core/pods/golden/own-program.json").read_text("utf-8"))
DOCUMENTS = [json.loads(text) for text in re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]
NAMES = ("Attempt", "Events", "ResultDocument", "ResultAnswer", "Termination", "StepsBody", "StepsPage", "KeptFiles")
KIB, MIB = 1024, 1024**2


def document(name):
    return DOCUMENTS[NAMES.index(name)]


def rows(heading):
    """The cells of the table whose first column has that heading."""
    table = PAGE[PAGE.index(f"\n| {heading} |") + 1 :].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in table]


def wrong(value, kind, place=""):
    """Places of a document that are not what its type says; keys that it lacks, and keys that the type lacks."""
    origin, parts = get_origin(kind), get_args(kind)
    if is_typeddict(kind):
        types, keys = get_type_hints(kind), value.keys() if isinstance(value, dict) else set()
        yield from (f"{place}.{key}" for key in keys - types.keys())
        yield from (f"{place}.{key} is missing" for key in kind.__required_keys__ - keys)
        for key in keys & types.keys():
            yield from wrong(value[key], types[key], f"{place}.{key}")
    elif origin is list and isinstance(value, list):
        for item in value:
            yield from wrong(item, parts[0], place)
    elif origin is NotRequired:
        yield from wrong(value, parts[0], place)
    elif parts and origin not in (dict, list):
        if all(list(wrong(value, one)) for one in parts):
            yield f"{place} is none of {parts}"
    elif kind is not Any and type(value) is not (origin or kind):
        yield f"{place} is no {kind}"


def test_each_document_is_shown_once():
    assert len(DOCUMENTS) == len(NAMES)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Attempt", contract.Attempt),
        ("ResultDocument", contract.ResultDocument),
        ("ResultAnswer", contract.ResultAnswer),
        ("StepsBody", contract.StepsBody),
        ("StepsPage", contract.StepsPage),
        ("KeptFiles", contract.KeptFiles),
    ],
)
def test_a_document_has_the_keys_and_types_of_the_contract(name, kind):
    assert sorted(wrong(document(name), kind, name)) == []


@pytest.mark.parametrize("event", document("Events")["events"], ids=lambda event: event["kind"])
def test_an_event_has_the_keys_and_types_of_the_contract(event):
    assert sorted(wrong(event, contract.TimelineEntry)) == []


def test_the_comparison_finds_a_wrong_key():
    changed = {**document("ResultDocument"), "results": None, "reason": 7}
    del changed["message"]

    assert len(list(wrong(changed, contract.ResultDocument))) == 3


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("Events", bodies.EventsBody),
        ("ResultDocument", bodies.ResultDocumentBody),
        ("StepsBody", bodies.StepsBody),
    ],
)
def test_the_gateway_accepts_the_documented_bodies(name, model):
    assert isinstance(bodies.parse(model, json.dumps(document(name)).encode()), model)


def test_the_termination_message_is_read_and_written_as_documented():
    shown = document("Termination")

    word = TerminationMessage.load(json.dumps(shown))

    assert word is not None
    assert json.loads(word.dump()) == {**shown, "delaySeconds": 30.0}


def test_the_documented_variables_are_those_of_a_pod():
    (runner,) = (one for one in GOLDEN["spec"]["containers"] if one["name"] == contract.RUNNER_CONTAINER)
    given = {one["name"] for one in runner["env"] if one["name"].startswith("AGENTJOBS_")}
    told = {name for row in rows("Variable") for name in re.findall(r"`([A-Z_]+)`", row[0])}
    known = {value for name, value in vars(contract).items() if name.startswith("ENV_")}
    # Of our own runner, its engines, and of clones: no program of others needs them.
    ours = re.compile(r"AGENTJOBS_(ENGINE|LOG_FORMAT|MCP_HEADER_|CLAUDE\w*|GIT_\w+)")

    assert given - told == set()
    assert told == {name for name in known if not ours.fullmatch(name)}


def test_the_documented_exit_codes_are_those_of_the_contract():
    told = {row[0].strip("`"): int(row[1]) for row in rows("Verdict")}

    assert told == {**{verdict.value: code for verdict, code in EXIT_CODES.items()}, "": EXIT_FENCED}


def test_the_documented_base_urls_are_those_of_the_proxy():
    told = {row[1].strip("`") for row in rows("Client of")}

    assert told == {
        contract.MODELS_GEMINI,
        contract.MODELS_VERTEX,
        contract.MODELS_OPENAI,
        contract.MODELS_ANTHROPIC,
    }


def pod(code, message):
    ended = {"exitCode": code, "message": message, "startedAt": "2026-11-29T16:00:00Z"}
    status = {"name": contract.RUNNER_CONTAINER, "state": {"terminated": ended}}
    owner = {"apiVersion": "agentjobs.dev/v1alpha1", "kind": "AgentJob", "name": "a", "uid": "u", "controller": True}
    meta = {"namespace": "default", "name": "a-2", "ownerReferences": [owner]}
    return parse_pod({"metadata": meta, "status": {"phase": "Failed", "containerStatuses": [status]}})


def left(told):
    """The text that a cell of the table tells of."""
    if told == "none":
        return ""
    if told.startswith("not JSON"):
        return '{"agentjobs": 1, "verdict": "Succ'
    if told == "of another start":
        return TerminationMessage(Verdict.SUCCEED, "", "", start=1, uid="u").dump()
    verdict, *reason = re.findall(r"`(\w+)`", told)
    return TerminationMessage(Verdict(verdict), *(reason or [""]), message="", start=2, uid="u").dump()


@pytest.mark.parametrize("row", rows("Exit code"), ids=lambda row: f"{row[0]}-{row[1]}")
def test_the_operator_decides_on_endings_as_documented(row):
    code, told, becomes, _ = row

    ending = diagnose(pod(int(code), left(told)))

    assert re.findall(r"`(\w+)`", becomes) == [word for word in (ending.verdict.value, str(ending.reason)) if word]


@pytest.mark.parametrize(
    "number",
    [
        f"every {contract.HEARTBEAT_SECONDS:.0f} seconds",
        f"{contract.GATEWAY_TIMEOUT_SECONDS / 60:.0f} minutes".replace("2", "two"),
        f"At most {contract.MAX_EVENTS:,} events and {contract.MAX_EVENTS_BODY_BYTES // MIB} MiB",
        f"{contract.MAX_EVENT_BYTES // KIB} KiB in an event",
        f"At most {contract.MAX_RESULT_BYTES // MIB} MiB. `result`",
        f"at most {contract.MAX_OUTCOME_CHARS} characters: rules",
        f"at most {contract.MAX_TERMINATION_BYTES:,} bytes, and cut `message` to {contract.MAX_MESSAGE_BYTES:,} bytes",
        f"bytes and `summary` to {contract.MAX_SUMMARY_BYTES}",
        f"letters and digits, at most {contract.MAX_REASON_CHARS}",
        f"at most {contract.MAX_STEPS} and {contract.MAX_STEPS_BODY_BYTES // MIB} MiB a request",
        f"at most {contract.MAX_KEPT_PART_BYTES // MIB} MiB, {contract.MAX_KEPT_FILES} files",
        f"files and {contract.MAX_KEPT_BYTES // MIB} MiB in all",
        f"`Snooze` with reason `{ErrorClass.JOURNAL_UNAVAILABLE}`",
    ],
)
def test_the_documented_limits_are_those_of_the_contract(number):
    assert number in PAGE
