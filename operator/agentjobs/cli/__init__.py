"""The command line: `agentjobs`, which is `kubectl agentjobs` too.

    app              the program: its verbs by sections, its exit codes, how it fails
    grammar          how the command line is read and explained: flags before the verb, synonyms, examples
    running          run
    run_flags        what its flags say of the job
    run_following    what it does on a cluster
    job_builder      flags to an AgentJob
    local            run --local, without any server
    local_engine     what runs its agent, and whether that is installed
    local_guard      the parent of its runner, which ends what is left
    local_gateway    what its runner speaks to
    local_journal    its recorded steps, in a file
    local_artifacts  its artifacts, in the same file
    local_kept       files that its starts keep, likewise
    local_budget     its budget, and what it used
    resources        verbs on files of objects: create, apply, delete
    getting          get
    waiting          wait
    orders           cancel, suspend, resume, rerun
    show             show
    job_words        what a job runs, where, and what it published
    story            the text of a job's history
    step_table       the text of a job's recorded steps
    pod_logs         logs
    log_lines        log lines as sentences
    history          verbs on what the gateway remembers: history, result
    history_filters  by what `history` chooses jobs
    tree             tree
    sessions         verbs on sessions and artifacts
    models           verbs on models and what they cost: models, usage
    notifications    verbs on notifications: list, retry
    validating       validate
    judging          what it says of each object
    templates        verbs on AgentTemplates: list, show, validate
    parameters       options about templates
    queues           verbs on queues: list, show, pause, drain, resume, scale
    schedules        verbs on AgentSchedules: list, show, next, backfill
    backfilling      schedule backfill
    schedule_orders  schedule trigger, suspend, resume
    conformance      does a program keep the runner contract? A package
    serve            verbs that run something: dev, demo, operator, gateway, migrate
    chosen           the objects that a verb works on
    cluster          the API server, any kind
    manifests        YAML in, patches out
    yaml_compat      YAML as kubectl reads it
    printing         tables and text for people
    options          options that verbs share
    failures         how a verb fails, and exit codes

Every verb is what a user could type themselves: one request as that user, no rights of our own. Heavy modules are
imported by the verb that needs them, so that `--help` is fast.
"""

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    from agentjobs.cli.app import run

    run(arguments)
