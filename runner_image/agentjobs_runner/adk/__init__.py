"""The engine that runs agents of Google ADK. The only package of the runner that imports ADK.

    engine               runs the agent to its ending

The agent:

    agents               the agent that the job describes
    conventions          finds the agent in a module
    agent_tree           the parts of the root agent
    mcp_servers          toolsets for the job's MCP servers
    toolsets             ends the attempt when a toolset cannot be listed
    run_config           settings
    sessions             ADK's sessions in memory, filled from the job's session and stored at its end
    artifacts, memory    data that outlives the job, with ADK's interfaces
    call_once            records their reads
    long_histories       keeps the cost of requests independent of the history

Its models:

    models               the job's model
    model_assignment     which agents get `agent.model`
    model_usage          the usage of a model call
    scripted, openai_compatible, anthropic_api
                         our own models
    client_responses     what the last two share

Its steps:

    step_plugin          ADK's callbacks for steps
    step_keys            the step of a callback
    model_steps, tool_steps, node_steps
                         record and replay steps
    steps_of_start       what they share
    compaction           summaries that replace older events
    step_policies        retries of steps
    step_retries         runs them
    unrecord             answers that later starts must not use
    survived_errors      errors that a run handled, for later starts
    held_context         context variables around generators
    recorded             ADK's objects as the JSON of the journal
    requests             digests of a step's request
    agent_digest         a digest of the agent's definition and code
    answer_checks        detects incomplete answers
    readers              ADK's readers of answers, made strict
    tool_results         tools' results as JSON
    nested_failures      which failures inside a tool a model may handle
    cancellations        finds cancellations that no one requested
    log_capture          ADK's logged warnings, as timeline entries

The outcome:

    event_content        the content of one event
    event_entries        an event as entries of the timeline
    answer               the answer of a run
    classify             the meaning of an error
    finish_reasons       the meaning of a finish reason
    invalid_definitions  definitions that can never work
"""
