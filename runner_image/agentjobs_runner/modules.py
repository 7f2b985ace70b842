"""Loading what a job names as `package.module:attribute`, with errors that say what was looked for and what exists."""

import importlib
from importlib.util import find_spec
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from agentjobs_runner.endings import config_invalid, module_not_found


def load(ref: str, field: str) -> Any:
    """Return the object that `ref` names; `field` is where the job names it.

    Raises:
        Ended: ModuleNotFound for a missing module, attribute, or an import inside of it; ConfigInvalid for code that
            can never load (syntax, an agent that ADK refuses).
        Exception: whatever else the module raises while it is imported; it may heal (a prompt fetched from afar).
    """
    path, _, attribute = ref.partition(":")
    module = _module(path, field)
    if not attribute:
        return _conventional(module, field)
    if hasattr(module, attribute):
        return getattr(module, attribute)
    raise module_not_found(
        f"{field}: module {path!r} ({_place(module)}) has no attribute {attribute!r}; it has: {_public(module)}"
    )


def _conventional(module: ModuleType, field: str) -> Any:
    """The agent that ADK's own tools find in `module`, or else in its module `agent`."""
    places = [module]
    if hasattr(module, "__path__") and find_spec(f"{module.__name__}.agent") is not None:
        places.append(_module(f"{module.__name__}.agent", field))
    for place in places:
        for name, fits in (("app", _is_app), ("root_agent", _is_agent)):
            found = getattr(place, name, None)
            if fits(found):
                return found
    looked = " and ".join(f"{place.__name__!r} ({_place(place)})" for place in places)
    raise module_not_found(
        f"{field}: neither an App called 'app' nor an agent called 'root_agent' is in {looked}; "
        f"it has: {_public(places[-1])}"
    )


def _is_app(found: object) -> bool:
    from google.adk.apps.app import App  # here, because `classify` needs this module but not ADK

    return isinstance(found, App)


def _is_agent(found: object) -> bool:
    from google.adk.agents.base_agent import BaseAgent  # see above
    from google.adk.workflow import BaseNode

    return isinstance(found, (BaseAgent, BaseNode))


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
    names = {name for name in vars(module) if not name.startswith("_")}
    # A package's modules are no attributes of it until they are imported.
    names |= {found.name for found in iter_modules(getattr(module, "__path__", ())) if not found.name.startswith("_")}
    # A dozen names show a typo; a message has 1 KiB.
    return ", ".join(sorted(names)[:12]) + (", …" if len(names) > 12 else "") if names else "nothing public"
