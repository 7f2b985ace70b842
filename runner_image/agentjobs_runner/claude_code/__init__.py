"""The engine of Claude Code: runs the CLI, reads its stream, judges how it ended, keeps its session.

command      the command line and its environment
prompt       what the agent is told
stream       what the CLI prints, as values
fields       what a stranger's JSON holds
verdict      how it ended
engine       one start, from its session to its ending
process      the CLI as a child, and the end of all that it started
session      its session's file: kept while it runs, put back in a later start
telling      what it tells as entries, steps and signs of progress
"""
