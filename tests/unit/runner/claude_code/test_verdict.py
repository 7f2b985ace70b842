"""How a start ends, in what recordings do not show."""

import errno
import json
import os
from dataclasses import replace

import pytest
from tests.clauderecordings import judged, recordings

from agentjobs.contract import ErrorClass, Verdict
from agentjobs_runner.claude_code.command import ClaudeCodeSettings, is_same_model
from agentjobs_runner.claude_code.stream import Began
from agentjobs_runner.claude_code.verdict import Exit, not_started, refused
from agentjobs_runner.output import Output

SCHEMA = {"type": "object", "required": ["outcome"], "properties": {"outcome": {"enum": ["fix", "wontfix"]}}}


def ended(name, *, code=None, **more):
    recording = recordings()[name]
    code = recording.exit.code if code is None else code
    stderr = more.pop("stderr", recording.exit.stderr)
    return judged(recording.lines, Exit(code, stderr, **more), recording.settings, recording.output)


def told_of(name, old, new, *, settings=None, output=None):
    """A recording in which something was said otherwise."""
    recording = recordings()[name]
    lines = [line.replace(old.encode(), new.encode()) for line in recording.lines]
    assert lines != list(recording.lines)
    return judged(lines, recording.exit, settings or recording.settings, output or recording.output)


def test_a_long_delay_of_the_proxy_snoozes_the_job_for_that_time():
    assert ended("proxy_429_two_hours").ending.delay_seconds == 7200.0


def test_a_rate_limit_without_a_delay_snoozes_for_half_a_minute():
    assert ended("api_429_exhausted").ending.delay_seconds == 30.0


def test_denied_tools_are_reported_with_their_number():
    message = ended("mode_dontAsk").ending.message
    assert ("2 calls" in message, "denied: Bash, Write" in message) == (True, True)


def test_a_fallback_model_is_reported():
    assert "claude-haiku-5-5 answered instead of sonnet" in ended("stand_in_model").ending.message


@pytest.mark.parametrize(
    ("said", "reason", "verdict"),
    [
        ("402 budget.maxCostUSD is reached: 2 of 1 used.", "BudgetExceeded", Verdict.FAIL),
        ("402 Your credit is used up", "ModelOutOfCredit", Verdict.FAIL),
        ("429 slow down", "ModelRateLimited", Verdict.SNOOZE),
        ("529 over", "ModelUnavailable", Verdict.RETRY),
        ("401 invalid x-api-key", "ModelAuth", Verdict.FAIL),
        ("400 prompt is too long", "ContextTooLong", Verdict.FAIL),
    ],
)
def test_a_context_that_could_not_be_compacted_ends_with_the_reason(said, reason, verdict):
    recording = recordings()["prompt_too_long"]
    (kind,) = {line for line in recording.lines if b'"type":"result"' in line}
    result = {**json.loads(kind), "terminal_reason": "blocking_limit", "api_error_status": None}
    result["result"] = f"Prompt is too long · automatic compaction failed: API Error: {said}"
    lines = [*(line for line in recording.lines if line != kind), json.dumps(result).encode()]

    ending = judged(lines, recording.exit, recording.settings, recording.output).ending

    assert (ending.reason, ending.verdict) == (reason, verdict)


@pytest.mark.parametrize("name", ["success", "mcp_stdio", "schema_ok", "stream_cut_recovers", "bg_bash_8s"])
@pytest.mark.parametrize("code", [1, 2, 137, 143, -9, -15])
def test_an_answer_of_a_failed_process_does_not_count(name, code):
    assert ended(name, code=code).ending.verdict is Verdict.RETRY


@pytest.mark.parametrize("code", [143, -15, 137, -9])
@pytest.mark.parametrize("name", ["success", "sigterm_in_tool", "sigkill_in_model", "sigint_in_tool"])
def test_a_stopped_process_is_not_a_failure(name, code):
    ending = ended(name, code=code, stopped=True).ending
    assert (ending.verdict, ending.reason) == (Verdict.SNOOZE, ErrorClass.INTERRUPTED)


def test_a_complete_answer_before_the_stop_counts():
    assert ended("success", code=0, stopped=True).ending.verdict is Verdict.SUCCEED


@pytest.mark.parametrize("name", ["sigkill_in_tool", "success"])
def test_a_process_killed_for_its_memory_is_reported(name):
    assert ended(name, code=-9, out_of_memory=True).ending.reason == ErrorClass.OOM_KILLED


@pytest.mark.parametrize(
    ("code", "stderr", "reason", "verdict"),
    [
        (0, "", "CommandFailed", Verdict.RETRY),
        (2, "panic", "CommandFailed", Verdict.RETRY),
        (None, "", "CommandFailed", Verdict.RETRY),
        (127, "claude: not found", "BinaryNotFound", Verdict.FAIL),
        (126, "Permission denied", "BinaryNotFound", Verdict.FAIL),
        (1, "Error: claude native binary not installed.", "BinaryNotFound", Verdict.FAIL),
        (1, "ENOSPC: no space left on device, write", "IO", Verdict.RETRY),
        (1, "", "ConfigInvalid", Verdict.FAIL),
        (-11, "", "RunnerCrashed", Verdict.RETRY),
        (-6, "uv_os_homedir returned ENOENT", "RunnerCrashed", Verdict.RETRY),
    ],
)
def test_an_end_without_a_result_is_classified_by_exit_code_and_standard_error(code, stderr, reason, verdict):
    ending = judged([], Exit(code, stderr), ClaudeCodeSettings(model="opus"), Output()).ending
    assert (ending.reason, ending.verdict) == (reason, verdict)


@pytest.mark.parametrize("name", ["root_bypass", "root_bypass_startup_results"])
def test_the_error_about_root_names_a_solution(name):
    assert "runtime.runAsUser" in ended(name).ending.message


def test_a_process_that_fails_after_its_start_is_retried():
    begun = recordings()["success"].lines[:1]
    assert (
        judged(begun, Exit(1, "TypeError"), ClaudeCodeSettings(model="opus"), Output()).ending.verdict is Verdict.RETRY
    )


@pytest.mark.parametrize("name", ["schema_ok", "schema_with_bg"])
def test_an_answer_is_checked_against_the_schema_by_the_runner_too(name):
    recording = recordings()[name]
    output = Output.read({"schema": {**SCHEMA, "properties": {"outcome": {"const": "other"}}}})
    found = judged(recording.lines, recording.exit, recording.settings, output)
    assert (found.ending.reason, found.new_session) == (ErrorClass.INVALID_OUTPUT, True)


def test_an_invalid_answer_fails_a_job_that_says_so():
    recording = recordings()["schema_never_called"]
    output = Output.read({"schema": SCHEMA, "onInvalid": "Fail"})
    assert judged(recording.lines, recording.exit, recording.settings, output).ending.verdict is Verdict.FAIL


def test_the_outcome_is_that_of_the_structured_answer():
    result = ended("schema_ok").ending.result
    assert (result["outcome"], result["structured"]["summary"]) == ("fix", "all fine")


def test_a_structured_answer_that_is_not_an_object_does_not_count():
    new = '"structured_output":["fix"]'
    found = told_of("schema_ok", '"structured_output":{"outcome":"fix","summary":"all fine"}', new)
    assert found.ending.reason == ErrorClass.INVALID_OUTPUT


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"is_error":false', '"is_error":true', "ModelUnavailable"),
        ('"is_error":false', '"is_error":null', "ModelUnavailable"),
        ('"subtype":"success"', '"subtype":"error_of_tomorrow"', "CommandFailed"),
        ('"terminal_reason":"completed"', '"terminal_reason":"stop_hook_prevented"', "ResultError"),
        ('"stop_reason":"end_turn"', '"stop_reason":"pause_turn"', "ResultError"),
        ('"stop_reason":"end_turn"', '"stop_reason":"tool_use"', "ResultError"),
        ('"stop_reason":"end_turn"', '"stop_reason":null', "ResultError"),
        ('"stop_reason":"end_turn"', '"stop_reason":"max_tokens"', "ModelOutputTruncated"),
        ('"stop_reason":"end_turn"', '"stop_reason":"refusal"', "ContentBlocked"),
        ('"model":"claude-opus-5-5","perm', '"model":"claude-haiku-5-5","perm', "ConfigInvalid"),
        ('"result":"Hello from the fake."', '"result":"  "', "ResultError"),
        ('"result":"Hello from the fake."', '"result":"\\u200b"', "ResultError"),
        ('"result":"Hello from the fake."', '"result":{"text":"x"}', "ResultError"),
        ('"subtype":"init"', '"subtype":"unknown"', "ResultError"),
    ],
)
def test_an_incomplete_success_does_not_count(old, new, reason):
    ending = told_of("success", old, new).ending
    assert (ending.verdict is not Verdict.SUCCEED, ending.reason) == (True, reason)


def test_a_result_without_a_stop_reason_is_one_of_an_old_version():
    assert told_of("success", '"stop_reason":"end_turn",', "").ending.verdict is Verdict.SUCCEED


def test_a_version_that_does_not_report_why_it_ended_may_report_null_as_stop_reason():
    recording = recordings()["success"]
    lines = [line.replace(b'"terminal_reason":"completed",', b"") for line in recording.lines]
    lines = [line.replace(b'"stop_reason":"end_turn"', b'"stop_reason":null') for line in lines]

    assert lines != recording.lines
    assert judged(lines, recording.exit, recording.settings, recording.output).ending.verdict is Verdict.SUCCEED


def test_a_turn_that_stopped_at_work_does_not_give_the_structured_answer_of_an_earlier_one():
    recording = recordings()["schema_ok"]
    result = next(line for line in recording.lines if json.loads(line).get("type") == "result")
    later = {**json.loads(result), "stop_reason": "tool_use", "result": "I will look at one more file."}
    del later["structured_output"]

    ending = judged(
        [*recording.lines, json.dumps(later).encode()], recording.exit, recording.settings, recording.output
    ).ending

    assert (ending.verdict, ending.reason) == (Verdict.RETRY, ErrorClass.RESULT_ERROR)


@pytest.mark.parametrize("answered", ["claude-haiku-4-5", "claude-haiku-4-5-20251001"])
def test_another_model_than_the_jobs_is_not_accepted(answered):
    recording = recordings()["success"]
    lines = [
        line.replace(b'"model":"claude-opus-5-5","content"', f'"model":"{answered}","content"'.encode()).replace(
            b'"modelUsage":{"claude-opus-5-5"', b'"modelUsage":{"claude-haiku-4-5"'
        )
        for line in recording.lines
    ]
    ending = judged(lines, recording.exit, recording.settings, recording.output).ending
    assert (ending.verdict, ending.reason) == (Verdict.FAIL, ErrorClass.CONFIG_INVALID)


def test_an_unavailable_remote_server_is_retried():
    settings = replace(recordings()["mcp_one_fails"].settings, remote_servers=frozenset({"bad"}))
    recording = recordings()["mcp_one_fails"]
    ending = judged(recording.lines, recording.exit, settings, recording.output).ending
    assert (ending.verdict, ending.reason) == (Verdict.RETRY, ErrorClass.TOOL_ERROR)


def test_a_server_that_was_not_ready_in_time_is_retried():
    began = Began("s", "claude-opus-5-5", "default", {"papers": "pending"}, "2.1.332")
    ending = refused(began, ClaudeCodeSettings(model="opus", servers=frozenset({"papers"})))
    assert (ending.verdict, ending.reason) == (Verdict.RETRY, ErrorClass.TOOL_ERROR)
    assert "MCP_TIMEOUT" in ending.message


@pytest.mark.parametrize("status", ["failed", "needs-auth", "connecting", "", None])
def test_a_job_without_a_required_server_is_refused_before_a_model_call(status):
    servers = {} if status is None else {"papers": status}
    began = Began("s", "claude-opus-5-5", "default", servers, "2.1.332")
    assert refused(began, ClaudeCodeSettings(model="opus", servers=frozenset({"papers"}))).verdict is Verdict.FAIL


def test_a_job_with_its_servers_and_its_model_is_not_refused():
    began = Began("s", "claude-opus-5-5", "default", {"papers": "connected", "other": "failed"}, "2.1.332")
    assert refused(began, ClaudeCodeSettings(model="opus", servers=frozenset({"papers"}))) is None


@pytest.mark.parametrize(
    ("requested", "ran", "same"),
    [
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", True),
        ("claude-sonnet-4-5", "claude-sonnet-4-5@20250929", True),
        ("claude-sonnet-5-5[1m]", "claude-sonnet-5-5", True),
        ("sonnet", "claude-sonnet-5-5", True),
        ("sonnet[1m]", "claude-sonnet-5-5[1m]", True),
        ("sonnet", "claude-haiku-5-5", False),
        ("claude-sonnet-4", "claude-sonnet-4-5-20250929", False),
        ("claude-sonnet-4", "claude-sonnet-4-5", False),
        ("claude-opus-5-5", "claude-opus-5", False),
        ("claude-opus-5-5", "", False),
    ],
)
def test_model_names_are_compared_in_canonical_form(requested, ran, same):
    assert is_same_model(requested, ran) is same


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOENT, "BinaryNotFound"),
        (errno.EACCES, "BinaryNotFound"),
        (errno.ENOEXEC, "BinaryNotFound"),
        (errno.ENOMEM, "IO"),
    ],
)
def test_a_program_that_cannot_be_executed_is_distinguished_from_a_failure_of_the_machine(code, reason):
    assert not_started(OSError(code, os.strerror(code)), "/usr/bin/claude").reason == reason


def test_no_message_is_longer_than_the_limit_of_a_status():
    stderr = "x" * 100_000
    assert len(judged([], Exit(1, stderr), ClaudeCodeSettings(model="opus"), Output()).ending.message) < 1024
