"""The templates of RBAC rules in the chart, which its roles include.

Run as `python -m agentjobs.rbac.chart [--check] FILE`; never imported by a process. A rule's scope decides where the
chart may bind it: rules for namespaced resources can be Roles of the served namespaces, the others cannot.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

import yaml

from agentjobs.api.generate.crd import publish
from agentjobs.rbac import Part, impersonation_role, roles, trigger_role

NOTE: Final = "Generated from operator/agentjobs/rbac by `python -m agentjobs.rbac.chart`; do not edit."
# Kubernetes' cluster-scoped kinds in our rules; a test compares them with an API server.
CLUSTER_SCOPED: Final = frozenset({"namespaces", "tokenreviews", "subjectaccessreviews"})

Rule = dict[str, Any]


def rendered() -> str:
    """Return the templates `agentjobs.rules.PART.WHERE`, WHERE being cluster, jobs (where jobs run) or own,
    `agentjobs.rules.impersonation` and `agentjobs.rules.triggers`."""
    blocks = [f"{{{{- /* {NOTE} */ -}}}}\n"]
    for part in get_args(Part):
        for where, rules in scoped(part).items():
            blocks.append(_block(f"{part}.{where}", rules))
    blocks.append(_block("impersonation", impersonation_role()["rules"]))
    return "".join([*blocks, _block("triggers", trigger_role()["rules"])])


def _block(name: str, rules: list[Rule]) -> str:
    text = yaml.safe_dump(rules, sort_keys=False, default_flow_style=None, width=120) if rules else "[]\n"
    return f'{{{{- define "agentjobs.rules.{name}" -}}}}\n{text}{{{{- end }}}}\n'


def scoped(part: Part) -> dict[str, list[Rule]]:
    """Return a part's rules by scope: cluster, namespaces of jobs, the part's own namespace."""
    found: dict[str, list[Rule]] = {"cluster": [], "jobs": [], "own": []}
    for role in roles(part):
        for rule in role["rules"]:
            resources = {resource.partition("/")[0] for resource in rule["resources"]}
            if mixed := resources & CLUSTER_SCOPED and resources - CLUSTER_SCOPED:
                raise ValueError(f"{part}.yaml: a rule mixes {sorted(mixed)} with cluster-scoped kinds; split it")
            where = "own" if role["kind"] == "Role" else "cluster" if resources & CLUSTER_SCOPED else "jobs"
            found[where].append(rule)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the templates, or compare them with `--check`; the exit status is 1 if the file is stale."""
    parser = argparse.ArgumentParser(prog="python -m agentjobs.rbac.chart", description="Write the chart's rules.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; fail with a diff if the file is stale")
    options = parser.parse_args(arguments)
    return publish(options.file, rendered(), check=options.check)


if __name__ == "__main__":
    sys.exit(main())
