# The runner with the examples' modules, as a user would build it: see the head of examples/module.yaml.
ARG RUNNER=localhost/agentjobs-runner:dev
FROM ${RUNNER}
COPY agents /app/examples/agents
