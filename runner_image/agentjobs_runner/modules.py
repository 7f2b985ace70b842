"""Loading what a job names as `package.module:attribute`, with errors that say what was looked for and what exists."""

import importlib
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from agentjobs_runner.endings import config_invalid, module_not_found
from agentjobs_runner.frames import Frame, frames_of, own_frame, own_package


def attribute(ref: str, field: str) -> Any:
    """Return what `ref` names as `package.module:attribute`; `field` is where the job names it.

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
    """Import the module `path` of the user's.

    Raises:
        StartEnded: ModuleNotFound for a missing module, or an import inside of it; ConfigInvalid for code that can
            never load (syntax, an agent that the engine refuses).
        Exception: whatever else the module raises while it is imported; it may heal (a prompt fetched from afar).
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
        cure = "make what it does an async function that returns the agent, and name that function in agent.module.ref"
        raise config_invalid(
            f"{field}: importing {path!r} failed: it starts an event loop{_at(error)}, and one runs already; {cure}"
        ) from error


def _at(error: BaseException) -> str:
    frame = own_frame(error)
    return f" ({frame})" if frame else ""


def _cure(error: ModuleNotFoundError) -> str:
    missing = error.name or "it"
    parent = find_spec(missing.partition(".")[0]) if "." in missing else None
    if parent is not None:
        return f"is {missing!r} spelled right, and in the image?"
    return f"install {missing} in runtime.image; for `agentjobs dev` and `run --local`, in the environment they run in"


def misfit(ref: str, error: ValidationError) -> str:
    """Describe what pydantic refused while `ref` was imported or called: an agent, or the user's settings or data."""
    made = {kind.__module__ for frame in frames_of(error) for kind in _kinds_of_self(frame)}
    if any(module.startswith("google.adk.") for module in made):
        return f"{ref!r} defines an agent that ADK refuses: {first_problems(error)}"
    cure = "; set it in runtime.env" if any(module.startswith("pydantic_settings") for module in made) else ""
    return f"{ref!r} failed: {error.title}: {first_problems(error)}{_at(error)}{cure}"


def _kinds_of_self(frame: Frame) -> tuple[type, ...]:
    # Settings call their own `self` otherwise.
    return (*type(frame.local("self")).__mro__, *type(frame.local("__pydantic_self__")).__mro__)


def _missing(path: str, missing: str) -> str:
    parent, _, last = path.rpartition(".")
    if not (missing == path and parent):
        # Most who read this have started the development cluster in another folder.
        cure = "start `agentjobs dev` or `run --local` in the folder that has it"
        return f"no module {missing!r}; it must be in runtime.image, or on PYTHONPATH ({cure})"
    found = importlib.import_module(parent)
    if hasattr(found, last):
        return f"{parent!r} ({file_of(found)}) is a module and {last!r} is in it; write {parent}:{last}"
    return f"package {parent!r} ({file_of(found)}) has no module {last!r}; it has: {public_names(found)}"


def first_problems(error: ValidationError) -> str:
    """The first problems of a pydantic error, each with its place, without the values."""
    items = error.errors(include_url=False, include_context=False, include_input=False)[:3]
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'agent'}: {item['msg']}" for item in items)


def file_of(module: ModuleType) -> str:
    """The file of `module`, in words where it has none."""
    return getattr(module, "__file__", None) or "a namespace package"


def public_names(module: ModuleType) -> str:
    """The names that `module` offers, as many as show a typo."""
    names = {name for name in vars(module) if not name.startswith("_")}
    # A package's modules are not attributes of it until they are imported.
    names |= {found.name for found in iter_modules(getattr(module, "__path__", ())) if not found.name.startswith("_")}
    # A dozen names show a typo; a message has 1 KiB.
    return ", ".join(sorted(names)[:12]) + (", …" if len(names) > 12 else "") if names else "nothing public"
