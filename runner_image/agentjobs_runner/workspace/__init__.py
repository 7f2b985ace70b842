"""The agent's files: a repository is cloned before the agent, its changes kept, and published after it.

Runs as containers of their own (`python -m agentjobs_runner.workspace clone|publish`) and, in between, in the runner.
"""
