"""The engine of Claude Code: runs the CLI, reads its stream, judges how it ended, keeps its session.

command      the command line and its environment
prompt       what the agent is told
stream       what the CLI prints, as values
verdict      how it ended
"""
