"""The kind AgentJob.

spec        the spec as pydantic models, with every default
agent       its part about the agent, its models and tools
runtime     its part about the pod
isolation   its part about pod security and network policies
status      the status as the operator reads and writes it
validation  checks all rules of a job, with these modules:
team        rules about inline agents
output      rules about the schema of an answer
run_config  rules about settings of ADK's RunConfig
resolve     the spec that an accepted job runs, with defaults and contents of ConfigMaps
"""
