"""The command line: `agentjobs`, which is `kubectl agentjobs` too.

    app               the program: its verbs by sections, its exit codes, how it fails
    grammar           parsing and help: flags before the verb, aliases, examples
    running           run
    run_flags         its flags and the fields they set
    run_following     run on a cluster
    job_builder       flags to an AgentJob
    local             run --local, without any server
    local_engine      its engine, and whether it is installed
    local_guard       the parent of its runner, which ends leftover processes
    local_gateway     the gateway for its runner
    local_journal     its recorded steps, in a file
    local_artifacts   its artifacts, in the same file
    local_kept        files that its starts keep, likewise
    local_budget      its budget, and what it used
    resources         verbs on files of objects: create, apply, delete
    getting           get
    watched_table     get -w
    waiting           wait
    job_actions       cancel, suspend, resume, rerun
    show              show
    shown_job         what it prints of a job
    job_words         short descriptions of a job: agent, workspace, published changes
    history_text      the text of a job's history
    step_table        the text of a job's recorded steps
    pod_logs          logs
    log_lines         log lines as sentences
    history           verbs on history: history, result
    history_filters   the filters of `history`
    tree              tree
    sessions          verbs on sessions and artifacts
    models            verbs on models and what they cost: models, usage
    notifications     verbs on notifications: list, retry
    validating        validate
    findings          its findings for each object
    templates         verbs on AgentTemplates: list, show, validate
    parameters        options for templates
    queues            verbs on queues: list, show, pause, drain, resume, scale
    schedules         verbs on AgentSchedules: list, show, next, backfill
    backfilling       schedule backfill
    schedule_actions  schedule trigger, suspend, resume
    conformance       checks that a program implements the runner contract; a package
    serve             verbs that run something: dev, demo, operator, gateway, migrate
    targets           the objects that a verb works on
    cluster           the API server, any kind
    manifests         YAML in, patches out
    yaml_compat       YAML as kubectl reads it
    printing          tables and text for people
    options           options that verbs share
    failures          how a verb fails, and exit codes

Each verb does what the user could do with one request and their own rights. Verbs import heavy modules when they run,
so that `--help` is fast.
"""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    try:
        from agentjobs.cli.app import run

        run(arguments)
    except KeyboardInterrupt:  # while modules were loading
        sys.exit(130)
