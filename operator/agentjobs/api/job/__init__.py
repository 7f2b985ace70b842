"""The kind AgentJob.

spec        the spec as pydantic models, with every default
agent       its part about the agent, its models and tools
coding      the parts of `agent` about Claude Code and containers
references  references to other objects
runtime     its part about the pod
workspace   its part about a Git checkout and its publication
budget      its part about what the job may spend
steps       its part about steps: recording, retries
isolation   its part about pod security and network policies
relations   its part about other jobs: template, after, unique, followUps
notifications  its part about sinks that are notified
status      the status as the operator reads and writes it
validation  checks all rules of a job, with these modules:
team        rules about inline agents
after       rules about jobs to wait for, and the names of their answers in texts
output      rules about the schema of an answer
pod_rules   rules about variables, volumes and credentials of pods
step_rules  rules about waits, time-outs and compaction of steps, and about sessions
coding_rules  rules about Claude Code and containers, and fields that do not apply to them
workspace_rules  rules about worktrees, refs and publishing
follow_up_rules  rules about follow-ups: names, order, names in their texts
run_config  rules about settings of ADK's RunConfig
unique      the key of a job with `unique`
resolve     the spec that an accepted job runs, with defaults and contents of ConfigMaps
"""
