"""`python -m agentjobs.cli` is `agentjobs`."""

from agentjobs.cli import main

main()
