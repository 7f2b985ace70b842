"""The engine of Claude Code: runs the CLI, reads its stream, judges how it ended, keeps its session."""
