"""Loading what a job names as `package.module:attribute`, with errors that say what was looked for and what exists."""

import importlib
from types import ModuleType
from typing import Any, Final

from pydantic import ValidationError

from agentjobs_runner.endings import config_invalid, module_not_found

# Without `:attribute` ADK's own names are looked for, in ADK's order.
CONVENTIONAL: Final = ("app", "root_agent")


def load(ref: str, field: str) -> Any:
    """Return the object that `ref` names; `field` is where the job names it.

    Raises:
        Ended: ModuleNotFound for a missing module, attribute, or an import inside of it; ConfigInvalid for code that
            can never load (syntax, an agent that ADK refuses).
        Exception: whatever else the module raises while it is imported; it may heal (a prompt fetched from afar).
    """
    path, _, attribute = ref.partition(":")
    module = _module(path, field)
    for name in (attribute,) if attribute else CONVENTIONAL:
        if hasattr(module, name):
            return getattr(module, name)
    wanted = repr(attribute) if attribute else " or ".join(map(repr, CONVENTIONAL))
    raise module_not_found(
        f"{field}: module {path!r} ({_place(module)}) has no attribute {wanted}; it has: {_public(module)}"
    )


def _module(path: str, field: str) -> ModuleType:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and (path == error.name or path.startswith(f"{error.name}.")):
            raise module_not_found(f"{field}: {_missing(path, error.name)}") from error
        raise module_not_found(f"{field}: importing {path!r} failed: {error}; install it in the image") from error
    except ImportError as error:
        raise module_not_found(f"{field}: importing {path!r} failed: {error}") from error
    except SyntaxError as error:
        raise config_invalid(f"{field}: {path!r} is no Python: {error}") from error
    except ValidationError as error:
        raise config_invalid(f"{field}: {path!r} defines an agent that ADK refuses: {first_problems(error)}") from error


def _missing(path: str, missing: str) -> str:
    parent = path.rpartition(".")[0]
    if missing == path and parent:
        found = importlib.import_module(parent)
        return (
            f"package {parent!r} ({_place(found)}) has no module {path.rpartition('.')[2]!r}; it has: {_public(found)}"
        )
    return f"no module {missing!r}; it must be installed in runtime.image, or lie on PYTHONPATH"


def first_problems(error: ValidationError) -> str:
    """The first problems of a pydantic error, each with its place, without the values."""
    items = error.errors(include_url=False, include_context=False, include_input=False)[:3]
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'agent'}: {item['msg']}" for item in items)


def _place(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or "a namespace package"


def _public(module: ModuleType) -> str:
    names = sorted(name for name in vars(module) if not name.startswith("_"))
    # A dozen names show a typo; a message has 1 KiB.
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "") if names else "nothing public"
