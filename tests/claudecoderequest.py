"""A request as Claude Code 2.1.332 sends it after it has loaded a tool, its texts shortened."""

HEADERS = {
    "accept": "application/json",
    "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27,"
    "per-turn-control-2026-07-01,mid-conversation-tool-changes-2026-07-01,thinking-token-count-2026-05-13,"
    "advanced-tool-use-2025-11-20,effort-2025-11-24,thinking-display-updates-2026-08-18",
    "anthropic-dangerous-direct-browser-access": "true",
    "anthropic-version": "2023-06-01",
    "user-agent": "claude-cli/2.1.332 (external, sdk-cli)",
    "x-app": "cli",
    "x-claude-code-session-id": "c18cc45c-05c4-4162-95ef-fab82036e370",
    "x-stainless-retry-count": "0",
    "x-stainless-timeout": "300",
}
QUERY = "beta=true"
CACHED = {"type": "ephemeral"}


def _tool(name, **more):
    properties = {"model": {"type": "string", "enum": ["sonnet", "opus", "haiku"]}, "prompt": {"type": "string"}}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"name": name, "description": f"Does what {name} does.", "input_schema": schema, **more}


BODY = {
    "model": "claude-sonnet-4-5",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "<system-reminder>…"}, {"type": "text", "text": "hi"}]},
        {"role": "system", "content": "# Environment", "output_config": {"effort": "medium"}},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "tool_use", "id": "toolu_1", "name": "ToolSearch", "input": {"query": "select:WebSearch"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [{"type": "tool_reference", "tool_name": "WebSearch"}],
                },
                {"type": "text", "text": "Tool loaded.", "cache_control": CACHED},
            ],
        },
    ],
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.332.18b; cc_entrypoint=sdk-cli;"},
        {"type": "text", "text": "You are Claude Code, Anthropic's official CLI for Claude.", "cache_control": CACHED},
    ],
    "tools": [
        _tool("Agent"),
        _tool("Bash"),
        _tool("WebSearch", defer_loading=True),
        _tool("DeferredToolPlaceholder", defer_loading=True),
    ],
    "metadata": {"user_id": '{"device_id":"2a7effa0","session_id":"c18cc45c-05c4-4162-95ef-fab82036e370"}'},
    "max_tokens": 128000,
    "thinking": {"type": "adaptive", "display": "updates"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "medium"},
    "stream": True,
}
