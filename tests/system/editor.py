"""A tool for agents of ADK that work in a checkout."""

from pathlib import Path


def append(path: str, text: str) -> str:
    """Write a text at the end of a file of the folder that the agent works in."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(text)
    return "written"
