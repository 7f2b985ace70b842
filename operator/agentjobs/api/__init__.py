"""The AgentJob kind: its models, rules, status, conditions and CRD. Pure, but for the generators.

agentjob     the spec as pydantic models, with every default
isolation    its part about pod security and network policies
model        what all models are built on
status       the status as the operator reads and writes it
raw_status   what both statuses are read with and written by
conditions   condition types, their reasons, phases
durations    `1h30m` to timedelta and back; RFC 3339 instants
validation   every rule a spec must keep, all problems at once
substitution `$(…)` in the texts of a spec
resolve      a spec with defaults and ConfigMap contents in it: what an accepted job runs
crd          the CustomResourceDefinition, made from the models
"""
