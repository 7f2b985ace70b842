"""Every recording of the CLI, and how a job ends that it was part of."""

import pytest
from tests.clauderecordings import FOLDER, recordings

from agentjobs.contract import ErrorClass, Verdict
from agentjobs_runner.endings import FENCED

SUCCEED = (Verdict.SUCCEED, "ResultAccepted")


def fail(kind):
    return Verdict.FAIL, ErrorClass[kind]


def retry(kind):
    return Verdict.RETRY, ErrorClass[kind]


NEW = "a new session"
CONFIG = fail("CONFIG_INVALID")

ENDINGS = {
    # Answers.
    "success": SUCCEED,
    "tool_bash_bypass": SUCCEED,
    "ask_user_question": SUCCEED,
    "partial_messages": SUCCEED,
    "stop_hook_blocks_once": SUCCEED,
    "worktree_named": SUCCEED,
    "worktree_gone_resume": SUCCEED,
    "resume_after_kill_in_model": SUCCEED,
    "mcp_stdio": SUCCEED,
    "hook_missing": SUCCEED,
    "defer_resume_allow": SUCCEED,
    # Denied tools are the job's own choice.
    "tool_bash_denied_default": SUCCEED,
    "mode_dontAsk": SUCCEED,
    "mode_auto_bash": SUCCEED,
    "defer_resume_deny": SUCCEED,
    # Another model answered instead of the one that the CLI asked.
    "stand_in_model": SUCCEED,
    # Several results: the last one.
    "bg_agent_result_twice": SUCCEED,
    "bg_bash_8s": SUCCEED,
    "bg_agent_ceiling_5s": SUCCEED,
    "schedule_wakeup": SUCCEED,
    # Streams that broke and were asked for again.
    "cut_after_text_block": SUCCEED,
    "stream_cut_recovers": SUCCEED,
    "sse_overloaded_always": SUCCEED,
    "hang_mid_stream_default": SUCCEED,
    "hang_mid_stream_pings_default": SUCCEED,
    # The call that a subagent's hook put off shows nowhere. No job of ours has hooks.
    "defer_in_subagent": SUCCEED,
    # Structured answers.
    "schema_ok": SUCCEED,
    "schema_repaired": SUCCEED,
    "schema_with_bg": SUCCEED,
    "schema_never_called": (*retry("INVALID_OUTPUT"), NEW),
    "schema_never_valid": (*retry("INVALID_OUTPUT"), NEW),
    "schema_invalid_schema": CONFIG,
    # Said to be a success, and none.
    "empty_content": retry("RESULT_ERROR"),
    "slash_command": retry("RESULT_ERROR"),
    "monitor": retry("RUNNER_CRASHED"),
    "mcp_dead": CONFIG,
    "mcp_one_fails": CONFIG,
    "mcp_bad_schema": CONFIG,
    "defer_tool": CONFIG,
    "defer_two_calls": CONFIG,
    "defer_resume_with_prompt": CONFIG,
    "budget_in_subagent_bg": fail("BUDGET_EXCEEDED"),
    # Limits.
    "max_turns": fail("MAX_TURNS_EXCEEDED"),
    "max_budget": fail("BUDGET_EXCEEDED"),
    "budget_2_resume": fail("BUDGET_EXCEEDED"),
    "budget_in_subagent_fg": fail("BUDGET_EXCEEDED"),
    "budget_over_on_last_turn": fail("BUDGET_EXCEEDED"),
    # What the API said.
    "api_400": fail("MODEL_BAD_REQUEST"),
    "api_400_credit": fail("MODEL_OUT_OF_CREDIT"),
    "api_401": fail("MODEL_AUTH"),
    "api_401_retries_0": fail("MODEL_AUTH"),
    "api_402": fail("MODEL_OUT_OF_CREDIT"),
    "api_404_model": fail("MODEL_BAD_REQUEST"),
    "api_429_exhausted": (Verdict.SNOOZE, ErrorClass.MODEL_RATE_LIMITED),
    "api_500": retry("MODEL_UNAVAILABLE"),
    "conn_refused": retry("MODEL_UNAVAILABLE"),
    "proj_env_base_url": retry("MODEL_UNAVAILABLE"),
    "dns_fails": retry("MODEL_UNAVAILABLE"),
    "cut_no_nonstream_fallback": retry("MODEL_UNAVAILABLE"),
    "hang_before_headers_10s": retry("MODEL_TIMEOUT"),
    "hang_before_headers_default": retry("MODEL_TIMEOUT"),
    "html_200": fail("MODEL_BAD_REQUEST"),
    "no_api_key": fail("MODEL_AUTH"),
    "auth_empty_key": fail("MODEL_AUTH"),
    "prompt_too_long": fail("CONTEXT_TOO_LONG"),
    "big_prompt_stdin": fail("CONTEXT_TOO_LONG"),
    "stop_context_window": fail("CONTEXT_TOO_LONG"),
    "stop_max_tokens": fail("MODEL_OUTPUT_TRUNCATED"),
    "refusal": fail("CONTENT_BLOCKED"),
    "refusal_details": fail("CONTENT_BLOCKED"),
    # What the model proxy refused.
    "proxy_402_budget": fail("BUDGET_EXCEEDED"),
    "proxy_403_not_allowed": fail("MODEL_NOT_ALLOWED"),
    "proxy_409_fenced": (Verdict.RETRY, FENCED),
    "proxy_429_two_hours": (Verdict.SNOOZE, ErrorClass.MODEL_RATE_LIMITED),
    "proxy_503": retry("MODEL_UNAVAILABLE"),
    # It did not start.
    "config_file_broken": CONFIG,
    "cwd_gone": CONFIG,
    "mcp_no_file": CONFIG,
    "no_prompt": CONFIG,
    "root_bypass": CONFIG,
    "root_bypass_startup_results": CONFIG,
    "stream_without_verbose": CONFIG,
    "tmp_unwritable": CONFIG,
    "unknown_flag": CONFIG,
    "worktree_no_repo": CONFIG,
    "resume_missing": (*retry("COMMAND_FAILED"), NEW),
    "resume_without_prompt": (*retry("COMMAND_FAILED"), NEW),
    "session_id_reused": (*retry("COMMAND_FAILED"), NEW),
    # Signals that no one of us sent.
    "sighup_in_tool": retry("RUNNER_CRASHED"),
    "sigint_in_model": retry("RUNNER_CRASHED"),
    "sigint_in_tool": retry("RUNNER_CRASHED"),
    "sigkill_in_model": retry("RUNNER_CRASHED"),
    "sigkill_in_tool": retry("RUNNER_CRASHED"),
    "sigterm_in_model": retry("RUNNER_CRASHED"),
    "sigterm_in_tool": retry("RUNNER_CRASHED"),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_each_recording_has_the_ending_of_its_job(name):
    judged = recordings()[name].judged()
    verdict, reason, *session = ENDINGS[name]
    assert (judged.ending.verdict, judged.ending.reason) == (verdict, reason), judged.ending.message
    assert judged.new_session == (NEW in session)
    assert (judged.ending.result is not None) == (verdict is Verdict.SUCCEED)


def test_every_recording_has_an_expected_ending():
    files = {path.stem for path in FOLDER.glob("*.jsonl")}
    assert set(ENDINGS) == set(recordings()) == files
