"""The kinds AgentJob and AgentSchedule: models, rules, status, conditions and CRDs. Pure, but for the generators.

agentjob             the spec of a job as pydantic models, with every default
agent                its part about the agent, its models and tools
runtime              its part about the pod
isolation            its part about pod security and network policies
agentschedule        the spec of a schedule
model                what all models are built on
fields               types of fields and patterns of texts that they share
status               a job's status as the operator reads and writes it
schedule_status      a schedule's status, and its conditions
raw_status           what both statuses are read with and written by
conditions           condition types, their reasons, phases
error_classes        what each class of errors means
events               the reasons of Kubernetes Events, and which are Warnings
recorded             what history tells users, as the gateway answers it
durations            `1h30m` to timedelta and back; RFC 3339 instants
cron                 the times of a cron expression
validation           every rule a job must keep, all problems at once; it asks these:
team                 rules about agents written down in a job
output               rules about the schema of an answer
run_config           rules about settings of ADK's RunConfig
schedule_validation  every rule a schedule must keep
problems             what is wrong with a spec, in words
substitution         `$(…)` in the texts of a spec
resolve              a spec with defaults and ConfigMap contents in it: what an accepted job runs
crd                  the CustomResourceDefinitions, made from the models
reference            the reference pages, made from the CRDs
"""
