# The runner with the tests' stand-in for the CLI of Claude Code, which needs no npm.
ARG RUNNER
FROM ${RUNNER}
COPY claudecli.py /usr/local/bin/claude
