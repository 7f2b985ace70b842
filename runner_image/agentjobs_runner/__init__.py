"""What runs in the pod of one start: fetch the attempt, run the agent under ADK, report one result.

User code imports three exceptions from here, to say what shall happen to its job:

    from agentjobs_runner import Cancel, Permanent, Snooze

The process, which does not know ADK:

    attempt      one start from its first request to its last; begins in __main__
    environment  the pod's variables              narrow     what is not imported, to start quickly
    gateway      four calls, repeated             timeline   the start's events, sent along
    stops        orders to stop                   gate       holds steps back
    meter        what the start used              tracing    its span
    log          the runner's log                 wording    text that may leave the pod
    control      the three exceptions             endings    how a start ended

The agent, under ADK:

    engine       runs it to its ending
    agents       the agent that the job describes; modules loads code, mcp_servers makes toolsets
    models       the model that the job names; scripted, openai_compatible and anthropic_api are such models,
                 looking is what the two share
    placing      which agents get `agent.model`
    run_config   settings                         sessions   ADK's sessions in memory
    steps        each step: counted, held back, looked at
    toolsets     no agent runs without its tools  tool_results   tools' results as JSON
    adk_readers  ADK's readers of answers, made strict
    noted        what ADK only logs

What came of it:

    answer       what a run amounts to; shape is what the root agent consists of, said what one event says
    output       what the job wants of its answer
    classify     what an error means; origins says whose it is, frames where it was raised
    providers    what a provider's error means    finishes   what a finish reason means
    definitions  what can never work              turns      what only looks like an answer
    callers      what a model may be told of a failure
    strays       cancellations that no one asked for
"""

from agentjobs_runner.control import Cancel, Permanent, Snooze

__all__ = ["Cancel", "Permanent", "Snooze"]
