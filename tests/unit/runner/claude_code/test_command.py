"""The command line and environment of the CLI, for every setting of a job."""

import json

import pytest

from agentjobs.api.job.coding_rules import MANAGED_FLAGS
from agentjobs.contract import ErrorClass
from agentjobs_runner.claude_code.command import WAITING, ClaudeCodeSettings, Left, Place, SessionChoice, build
from agentjobs_runner.claude_code.prompt import DEFAULT_APPEND
from agentjobs_runner.endings import StartEnded

PLACE = Place(
    binary="/usr/bin/claude",
    home="/tmp/h",
    tmp="/tmp/t",
    tree="/workspace/tree",
    base_url="http://proxy/anthropic",
    token_file="/var/run/agentjobs/the token",
)
NEW = SessionChoice("22673e4a-f2c9-43ca-b7fd-a5bd7a79b69b", resumes=False)


def asked(*, model="sonnet", output=None, **claude):
    return ClaudeCodeSettings.read({"agent": {"model": model, "claudeCode": claude}, "output": output})


def command(*, place=PLACE, session=NEW, left=None, **given):
    return build(asked(**given), place, session, left or Left())


def after(argv, flag):
    """The words that follow a flag, until the next one."""
    words = argv[argv.index(flag) + 1 :]
    end = next((at for at, word in enumerate(words) if word.startswith("--")), len(words))
    return words[:end]


def refused(**given):
    with pytest.raises(StartEnded) as caught:
        command(**given)
    assert caught.value.ending.reason == ErrorClass.CONFIG_INVALID
    return caught.value.ending.message


def test_settings_of_the_repository_are_not_used():
    argv = command().argv

    assert after(argv, "--setting-sources") == ("user",)
    assert "--strict-mcp-config" in argv
    assert after(argv, "--output-format") == ("stream-json",)
    assert {"-p", "--verbose"} <= set(argv)


def test_the_token_is_read_from_its_file_each_time_and_not_stored():
    made = command()
    settings = json.loads(after(made.argv, "--settings")[0])

    assert settings["apiKeyHelper"] == "cat '/var/run/agentjobs/the token'"
    assert made.env["ANTHROPIC_BASE_URL"] == "http://proxy/anthropic"
    assert made.unset >= {"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS"}
    assert not any("KEY" in name and "HELPER" not in name for name in made.env)


def test_a_job_that_calls_anthropic_directly_keeps_its_key():
    made = command(place=Place("/usr/bin/claude", "/tmp/h", "/tmp/t", "/tree"))

    assert "ANTHROPIC_API_KEY" not in made.unset
    assert "ANTHROPIC_BASE_URL" not in made.env
    assert "apiKeyHelper" not in str(made.argv)


def test_nonessential_traffic_background_tasks_and_waiting_tools_are_disabled():
    made = command()

    assert made.env["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] == "1"
    assert made.env["CLAUDE_CODE_DISABLE_BACKGROUND_TASKS"] == "1"
    assert set(after(made.argv, "--disallowedTools")) == set(WAITING)


def test_disallowed_tools_are_added_to_the_tools_that_require_a_user():
    argv = command(allowedTools=["Bash(git *)", "Edit"], disallowedTools=["WebSearch", "Monitor"]).argv

    assert after(argv, "--allowedTools") == ("Bash(git *)", "Edit")
    assert after(argv, "--disallowedTools") == (*WAITING, "WebSearch")


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("AcceptEdits", ("acceptEdits",)),
        ("Plan", ("plan",)),
        ("DontAsk", ("dontAsk",)),
        ("BypassPermissions", ("bypassPermissions",)),
    ],
)
def test_a_permission_mode_is_passed_with_the_clis_name(mode, said):
    assert after(command(permissionMode=mode).argv, "--permission-mode") == said


def test_the_default_permission_mode_is_not_passed():
    assert "--permission-mode" not in command().argv


def test_a_session_is_created_or_resumed():
    assert after(command().argv, "--session-id") == (NEW.id,)
    assert after(command(session=SessionChoice(NEW.id, resumes=True)).argv, "--resume") == (NEW.id,)


def test_the_remaining_turns_limit_the_process():
    argv = command(left=Left(turns=3, cost=0.5)).argv

    assert (after(argv, "--max-turns"), after(argv, "--max-budget-usd")) == (("3",), ("0.5000",))
    assert not {"--max-turns", "--max-budget-usd"} & set(command().argv)


def test_a_prompt_that_looks_like_a_flag_is_not_a_flag():
    argv = command(systemPrompt="--bare", appendSystemPrompt="- a list\n- of things").argv

    assert {"--system-prompt=--bare", "--append-system-prompt=- a list\n- of things"} <= set(argv)
    assert "--bare" not in argv


def test_the_default_prompt_is_appended_if_the_job_sets_none():
    assert f"--append-system-prompt={DEFAULT_APPEND}" in command().argv


def test_the_clis_other_model_variables_have_the_jobs_model():
    made = command(model="anthropic/claude-sonnet-4-5")

    assert after(made.argv, "--model") == ("claude-sonnet-4-5",)
    assert made.env["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "claude-sonnet-4-5"
    assert not any(name.startswith("ANTHROPIC_DEFAULT") for name in command(model="sonnet").env)


def test_a_schema_is_passed_as_an_object_without_its_id():
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "required": ["outcome"]}
    argv = command(output={"schema": schema}).argv

    assert json.loads(after(argv, "--json-schema")[0]) == {"required": ["outcome"], "type": "object"}


@pytest.mark.parametrize("kind", ["array", "string", ["array", "null"]])
def test_a_schema_that_is_not_of_an_object_is_refused(kind):
    assert "output.schema" in refused(output={"schema": {"type": kind}})


def test_an_argument_that_linux_would_refuse_is_refused_with_its_name():
    assert refused(appendSystemPrompt="ü" * 70_000).startswith("--append-system-prompt")
    assert "the limit is" in refused(output={"schema": {"description": "x" * 140_000}})
    assert "zero" in refused(systemPrompt="a\0b")
    assert "surrogate" in refused(systemPrompt="a\ud800b")


@pytest.mark.parametrize("field", ["allowedTools", "disallowedTools"])
def test_a_rule_for_tools_that_is_a_flag_is_refused(field):
    assert field in refused(**{field: ["--dangerously-skip-permissions"]})


@pytest.mark.parametrize("model", ["", None])
def test_a_job_without_a_model_uses_the_clis_default(model):
    assert after(command(model=model).argv, "--model") == ("default",)


@pytest.mark.parametrize("model", ["anthropic/", "--bare"])
def test_an_invalid_model_is_refused(model):
    assert "agent.model" in refused(model=model)


def test_the_servers_of_a_configuration_are_required_by_the_job():
    servers = {"papers": {"command": "npx"}, "wiki": {"type": "http", "url": "https://wiki"}}
    found = asked(mcpConfig=json.dumps({"mcpServers": servers}))

    assert (found.servers, found.remote_servers) == ({"papers", "wiki"}, {"wiki"})


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        "{}",
        '{"mcpServers": []}',
        '{"mcpServers": {"x": {"type": "http"}}}',
        '{"mcpServers": {"x": {"url": "https://wiki"}}}',
        '{"mcpServers": {"x": {"type": "carrier-pigeon", "url": "https://wiki"}}}',
        '{"mcpServers": {"x": {"command": ["npx"]}}}',
        '{"mcpServers": {"x": null}}',
        "[" * 100_000,
    ],
)
def test_a_configuration_that_the_cli_would_ignore_is_refused(config):
    assert "mcpConfig" in refused(mcpConfig=config)


def test_a_jobs_arguments_cannot_contain_flags_that_we_set():
    argv = command(
        place=Place("/c", "/h", "/t", "/w", "http://p", "/token", "/mcp.json"),
        left=Left(turns=1, cost=1.0),
        output={"schema": {"type": "object"}},
        permissionMode="Plan",
        systemPrompt="x",
        allowedTools=["Edit"],
    ).argv
    flags = {word.partition("=")[0] for word in argv if word.startswith("-")}

    assert flags <= MANAGED_FLAGS


def test_a_jobs_arguments_precede_ours():
    argv = command(extraArgs=["--add-dir", "/data"], allowedTools=["Edit"]).argv

    assert after(argv, "--add-dir") == ("/data",)
