"""The kind AgentJob.

spec        the spec as pydantic models, with every default
agent       its part about the agent, its models and tools
coding      the parts of `agent` about Claude Code and programs of one's own
references  references to other objects
runtime     its part about the pod
workspace   its part about a checkout, and what is published of it
budget      its part about what the job may spend
steps       its part about steps: what is recorded, how a single one is tried
isolation   its part about pod security and network policies
relations   its part about other jobs: template, after, unique, followUps
notifications  its part about whom it tells what happens to it
status      the status as the operator reads and writes it
validation  checks all rules of a job, with these modules:
team        rules about inline agents
after       rules about jobs to wait for, and what texts may read of them
output      rules about the schema of an answer
pod_rules   rules about variables, volumes and credentials of pods
step_rules  rules about waits, time-outs and compaction of steps, and about sessions
coding_rules  rules about Claude Code, programs of one's own, and what they have no use for
workspace_rules  rules about worktrees, refs and publishing
follow_up_rules  rules about follow-ups: names, order, what their texts may name
run_config  rules about settings of ADK's RunConfig
unique      the key of a job that may not run beside its twin
resolve     the spec that an accepted job runs, with defaults and contents of ConfigMaps
"""
