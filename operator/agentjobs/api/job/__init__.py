"""The kind AgentJob.

spec        the spec as pydantic models, with every default
agent       its part about the agent, its models and tools
runtime     its part about the pod
isolation   its part about pod security and network policies
status      the status as the operator reads and writes it
validation  every rule that a job must keep, all problems at once; it asks these:
team        rules about agents written down in a job
output      rules about the schema of an answer
run_config  rules about settings of ADK's RunConfig
resolve     a spec with defaults and ConfigMap contents in it: what an accepted job runs
"""
