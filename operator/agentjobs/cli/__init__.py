"""The command line: `agentjobs`, which is `kubectl agentjobs` too.

    app.py         the program: its verbs, its exit codes, how it fails
    processes.py   verbs that run something: dev, demo, operator, gateway, migrate
    running.py     run, and what it needs: work.py (flags to an AgentJob), local.py (without any server)
    objects.py     verbs on AgentJobs in the cluster: apply, get, delete, cancel, suspend, resume, rerun, wait
    looking.py     verbs that look at one job from near: show, logs; and list
    schedules.py   verbs on AgentSchedules: list, show, trigger, suspend, resume, next, backfill
    past.py        verbs on what the gateway remembers: history, result
    cluster.py     the API server, any kind    manifests.py   YAML in, patches out
    printing.py    tables and text for people  options.py     what many verbs share

Every verb is what a user could type themselves: one request as that user, no rights of our own. Heavy modules are
imported by the verb that needs them, so that `--help` answers at once.
"""

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    from agentjobs.cli.app import run

    run(arguments)
