"""The engine that runs agents of Google ADK. The only package of the runner that imports ADK.

    engine               runs the agent to its ending

The agent:

    agents               the agent that the job describes
    conventions          the agent that a module holds
    agent_tree           what the root agent consists of
    mcp_servers          toolsets for the job's MCP servers
    toolsets             ends the attempt when a toolset cannot be listed
    run_config           settings
    sessions             ADK's sessions in memory, filled from the job's session and stored at its end
    artifacts, memory    what outlives the job, as ADK asks for it; asked_once records what was answered
    long_histories       requests whose cost does not grow with the history

Its models:

    models               the model that the job names
    model_assignment     which agents get `agent.model`
    model_usage          what a model call uses
    scripted, openai_compatible, anthropic_api
                         models of our own; client_responses is what the last two share

Its steps:

    step_plugin          where ADK tells of its steps
    step_keys            which step a callback is about
    model_steps, tool_steps, node_steps
                         steps recorded and replayed; steps_of_start is what they share
    compaction           summaries in the place of older events
    step_policies        how steps are tried; step_retries tries them again
    unrecord             answers that later starts must not use
    survived_errors      errors that a run went on after, which later starts meet again
    held_context         context variables around generators
    recorded             ADK's objects as the JSON of the journal
    requests             what a step was asked, as digests
    agent_digest         a digest of the agent's definition and code
    answer_checks        answers that only look whole
    readers              ADK's readers of answers, made strict
    tool_results         tools' results as JSON
    nested_failures      what a model may be told of a failure inside a tool
    cancellations        finds cancellations that no one asked for
    log_capture          what ADK only logs, as entries of the timeline

What came of it:

    event_content        what one event says
    event_entries        an event as entries of the timeline
    answer               the answer of a run
    classify             what an error means
    finish_reasons       what a finish reason means
    invalid_definitions  definitions that can never work
"""
