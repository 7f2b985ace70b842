"""The engine of Claude Code: runs the CLI, reads its stream, determines its ending, keeps its session.

command      the command line and its environment
prompt       the prompt
stream       the CLI's output, as values
fields       fields of untrusted JSON
verdict      how it ended
engine       one start, from its session to its ending
process      the CLI as a child process, and the end of its descendants
session      its session file: kept while it runs, restored in a later start
relay        converts its output to entries, steps and signs of progress
"""
