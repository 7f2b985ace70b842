"""The command line: `agentjobs`, which is `kubectl agentjobs` too.

    app.py         the program: its verbs by sections, its exit codes, how it fails
    grammar.py     how the command line is read and explained: flags before the verb, synonyms, examples
    running.py     run, and what it needs: work.py (flags to an AgentJob), local.py (without any server)
    objects.py     verbs on files of objects: create, apply, delete
    getting.py     get    waiting.py  wait    orders.py  cancel, suspend, resume, rerun
    looking.py     verbs that look at jobs from near: show              story.py  the text of its history
    pod_logs.py    logs, with log_lines.py, which makes sentences of lines
    past.py        verbs on what the gateway remembers: history, result
    schedules.py   verbs on AgentSchedules: list, show, next, backfill (backfilling.py)
    schedule_orders.py  trigger, suspend, resume
    processes.py   verbs that run something: dev, demo, operator, gateway, migrate
    chosen.py      what a verb is about            cluster.py   the API server, any kind
    manifests.py   YAML in, patches out            notation.py  YAML as kubectl reads it
    printing.py    tables and text for people      options.py   what many verbs share
    failures.py    how a verb fails, and exit codes

Every verb is what a user could type themselves: one request as that user, no rights of our own. Heavy modules are
imported by the verb that needs them, so that `--help` answers at once.
"""

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    from agentjobs.cli.app import run

    run(arguments)
