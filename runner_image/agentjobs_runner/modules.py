"""Loads `package.module:attribute`; errors name what was missing and what exists."""

import importlib
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from agentjobs_runner.endings import config_invalid, module_not_found
from agentjobs_runner.frames import Frame, frames_of, own_frame, own_package


def attribute(ref: str, field: str) -> Any:
    """Return the object of `ref`, `package.module:attribute`; `field` is the job's field with it.

    Raises:
        StartEnded: see `load_module`; ModuleNotFound for a missing attribute.
        Exception: see `load_module`.
    """
    path, _, name = ref.partition(":")
    module = load_module(path, field)
    if hasattr(module, name):
        return getattr(module, name)
    raise module_not_found(
        f"{field}: module {path!r} ({file_of(module)}) has no attribute {name!r}; it has: {public_names(module)}"
    )


def load_module(path: str, field: str) -> ModuleType:
    """Import the user's module `path`.

    Raises:
        StartEnded: ModuleNotFound for a missing module, or a missing import inside it; ConfigInvalid for code that can
            never load (syntax, an agent that the engine rejects).
        Exception: any other exception of the import; it may be temporary (a prompt from a server).
    """
    own_package(path)
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and (path == error.name or path.startswith(f"{error.name}.")):
            raise module_not_found(f"{field}: {_missing(path, error.name)}") from error
        raise module_not_found(f"{field}: importing {path!r} failed: {error}{_at(error)}; {_cure(error)}") from error
    except ImportError as error:
        raise module_not_found(f"{field}: importing {path!r} failed: {error}") from error
    except SyntaxError as error:
        raise config_invalid(f"{field}: {path!r} is not valid Python: {error}") from error
    except ValidationError as error:
        raise config_invalid(f"{field}: {misfit(path, error)}") from error
    except RuntimeError as error:
        if "running event loop" not in str(error) and "event loop is already running" not in str(error):
            raise
        cure = "move it into an async function that returns the agent, and use that function in agent.module.ref"
        raise config_invalid(
            f"{field}: importing {path!r} failed: it starts an event loop{_at(error)}, but one is running; {cure}"
        ) from error


def _at(error: BaseException) -> str:
    frame = own_frame(error)
    return f" ({frame})" if frame else ""


def _cure(error: ModuleNotFoundError) -> str:
    missing = error.name or "it"
    parent = find_spec(missing.partition(".")[0]) if "." in missing else None
    if parent is not None:
        return f"check that {missing!r} is spelled correctly and is in the image"
    return f"install {missing} in runtime.image; for `agentjobs dev` and `run --local`, in the environment they run in"


def misfit(ref: str, error: ValidationError) -> str:
    """Describe pydantic's error while `ref` was imported or called: an agent, or the user's settings or data."""
    made = {kind.__module__ for frame in frames_of(error) for kind in _kinds_of_self(frame)}
    if any(module.startswith("google.adk.") for module in made):
        return f"{ref!r} defines an agent that ADK rejects: {first_problems(error)}"
    cure = "; set it in runtime.env" if any(module.startswith("pydantic_settings") for module in made) else ""
    return f"{ref!r} failed: {error.title}: {first_problems(error)}{_at(error)}{cure}"


def _kinds_of_self(frame: Frame) -> tuple[type, ...]:
    # Otherwise settings call their own `self`.
    return (*type(frame.local("self")).__mro__, *type(frame.local("__pydantic_self__")).__mro__)


def _missing(path: str, missing: str) -> str:
    parent, _, last = path.rpartition(".")
    if not (missing == path and parent):
        # The usual cause: the development cluster was started in another folder.
        cure = "start `agentjobs dev` or `run --local` in the module's folder"
        return f"no module {missing!r}; it must be in runtime.image, or on PYTHONPATH ({cure})"
    found = importlib.import_module(parent)
    if hasattr(found, last):
        return f"{parent!r} ({file_of(found)}) is a module with {last!r}; use {parent}:{last}"
    return f"package {parent!r} ({file_of(found)}) has no module {last!r}; it has: {public_names(found)}"


def first_problems(error: ValidationError) -> str:
    """The first problems of a pydantic error, with their places, without values."""
    items = error.errors(include_url=False, include_context=False, include_input=False)[:3]
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'agent'}: {item['msg']}" for item in items)


def file_of(module: ModuleType) -> str:
    """The file of `module`, or a description if it has none."""
    return getattr(module, "__file__", None) or "a namespace package"


def public_names(module: ModuleType) -> str:
    """The names in `module`, limited in number."""
    names = {name for name in vars(module) if not name.startswith("_")}
    # Submodules are not attributes of a package until they are imported.
    names |= {found.name for found in iter_modules(getattr(module, "__path__", ())) if not found.name.startswith("_")}
    # A dozen names are enough to see a typo; a message has 1 KiB.
    return ", ".join(sorted(names)[:12]) + (", …" if len(names) > 12 else "") if names else "nothing public"
