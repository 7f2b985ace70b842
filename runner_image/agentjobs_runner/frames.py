"""The user's lines of a traceback: those that a user can change, among forty frames of libraries.

Paths are relative to the entry of `sys.path` that they were imported from, as in the project.
"""

import linecache
import os
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final

from agentjobs_runner.redaction import safe_str

_LIBRARIES: Final = tuple(
    {os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_INSTALLED: Final = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_OURS: Final = ("agentjobs", "agentjobs_runner", "google", "pydantic")
_SHOWN_FRAMES: Final = 20
# Packages that the job names; they may be installed next to the libraries.
_named: set[str] = set()


@dataclass(frozen=True, slots=True)
class Frame:
    """A line of code in a traceback."""

    raw: FrameType
    line: int

    @property
    def module(self) -> str:
        """The module's full name."""
        return str(self.raw.f_globals.get("__name__", ""))

    @property
    def function(self) -> str:
        """The function's name without its class."""
        return self.raw.f_code.co_name

    @property
    def is_own(self) -> bool:
        """Whether it belongs to the job, not to a library, Python or the runner."""
        package = self.module.partition(".")[0]
        if package in _named:
            return True
        path = self.raw.f_code.co_filename
        if package in _OURS or path.startswith("<"):
            return False
        real = os.path.realpath(path)
        return not real.startswith(_LIBRARIES) and not any(part in real for part in _INSTALLED)

    def local(self, name: str) -> Any:
        """A local variable's value; None if it does not exist."""
        return self.raw.f_locals.get(name)

    def __str__(self) -> str:
        return f"{_in_project(self.raw.f_code.co_filename)}:{self.line}"


def own_package(module: str) -> None:
    """Mark the package of `module` as the user's, wherever it is installed."""
    package = module.partition(".")[0]
    if package not in _OURS:
        _named.add(package)


def frames_of(error: BaseException) -> list[Frame]:
    """Return the frames of `error`, outermost first; the last one raised it."""
    return list(_walk(error.__traceback__))


def own_frame(error: BaseException) -> Frame | None:
    """The innermost frame of `error` in the user's code."""
    return next((frame for frame in reversed(frames_of(error)) if frame.is_own), None)


def stack(errors: list[BaseException]) -> list[str]:
    """Return the tracebacks of a chain of errors, reduced to the user's frames and the raising one.

    Args:
        errors: outermost first; causes come first in the output, as in Python. Errors that libraries only passed on
            among themselves are left out.
    """
    lines: list[str] = []
    for error in reversed([*errors[:1], *(error for error in errors[1:] if own_frame(error) is not None)]):
        lines += ["which led to:"] if lines else []
        passed = frames_of(error)
        kept = [frame for frame in passed[:-1] if frame.is_own] + passed[-1:]
        lines += [_line(frame) for frame in kept[-_SHOWN_FRAMES:]]
        lines.append(f"{type(error).__name__}: {safe_str(error)}")
    return lines


def _walk(traceback: TracebackType | None) -> Iterator[Frame]:
    while traceback is not None:
        yield Frame(traceback.tb_frame, traceback.tb_lineno)
        traceback = traceback.tb_next


def _line(frame: Frame) -> str:
    source = linecache.getline(frame.raw.f_code.co_filename, frame.line).strip()
    return f"  {frame} in {frame.function}" + (f": {source}" if source else "")


def _in_project(path: str) -> str:
    folders = {Path(entry).absolute() for entry in sys.path if entry} | {Path.cwd()}
    around = [folder for folder in folders if folder != Path("/") and Path(path).is_relative_to(folder)]
    # The longest match: a virtual environment may be inside the project.
    return str(Path(path).relative_to(max(around, key=lambda folder: len(folder.parts)))) if around else path
