"""Loading what a job names as `package.module:attribute`, with errors that say what was looked for and what exists."""

import importlib
import inspect
import warnings
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Final

from pydantic import ValidationError
from yaml import YAMLError

from agentjobs_runner.endings import Ended, config_invalid, module_not_found
from agentjobs_runner.frames import Place, name_package, own_place, places

CONFIG: Final = "root_agent.yaml"


def load(ref: str, field: str) -> Any:
    """Return the object that `ref` names; `field` is where the job names it.

    Raises:
        Ended: ModuleNotFound for a missing module, attribute, or an import inside of it; ConfigInvalid for code that
            can never load (syntax, an agent that ADK refuses).
        Exception: whatever else the module raises while it is imported; it may heal (a prompt fetched from afar).
    """
    path, _, attribute = ref.partition(":")
    name_package(path)
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
    looked_at = [module]
    if hasattr(module, "__path__") and find_spec(f"{module.__name__}.agent") is not None:
        looked_at.append(_module(f"{module.__name__}.agent", field))
    for place in looked_at:
        for name, fits in (("app", _is_app), ("root_agent", _is_agent)):
            found = getattr(place, name, None)
            if fits(found):
                return found
    for file in _configs(module):
        return _configured(file, field)
    for place in looked_at:
        for name in ("root_agent", "app"):
            if hasattr(place, name):
                raise _not_an_agent(place, name, field)
    looked = " and ".join(f"{place.__name__!r} ({_place(place)})" for place in looked_at)
    raise module_not_found(
        f"{field}: neither an App called 'app' nor an agent called 'root_agent' is in {looked}; "
        f"it has: {_public(looked_at[-1])}"
    )


def _configs(module: ModuleType) -> list[Path]:
    """The agent written down in a package's folder, as `adk create --type=config` makes it."""
    return [file for folder in getattr(module, "__path__", ()) if (file := Path(folder, CONFIG)).is_file()]


def _configured(file: Path, field: str) -> Any:
    from google.adk.agents.config_agent_utils import from_config  # only for agents that are written down

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # ADK's loader is about to use another class of its own
            return from_config(str(file))
    except ValidationError as error:
        raise config_invalid(f"{field}: ADK refuses {file}: {first_problems(error)}") from error
    except ImportError as error:
        raise module_not_found(f"{field}: {file} names what cannot be imported: {error}") from error
    except (ValueError, OSError, AttributeError, YAMLError) as error:
        said = " ".join(str(error).split())
        raise config_invalid(f"{field}: {file} cannot be used: {said}") from error


def _not_an_agent(module: ModuleType, name: str, field: str) -> Ended:
    found, where = getattr(module, name), f"{module.__name__}:{name}"
    if inspect.iscoroutine(found):
        found.close()
        function = found.__name__
        return config_invalid(
            f"{field}: {where} is a coroutine: {function} was called and not awaited; "
            f"name the function, which is awaited here: {module.__name__}:{function}"
        )
    if isinstance(found, (tuple, list)):
        cure = "keep the agent only (functions that return an exit stack as well were for old versions of ADK)"
        return config_invalid(f"{field}: {where} is a {type(found).__name__} of {len(found)}; {cure}")
    if callable(found):
        return config_invalid(f"{field}: {where} is a function; name it to have it called: {field}: {where}")
    return config_invalid(f"{field}: {where} is a {type(found).__name__}; it must be an Agent or an App")


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
    place = own_place(error)
    return f" ({place})" if place else ""


def _cure(error: ModuleNotFoundError) -> str:
    missing = error.name or "it"
    parent = find_spec(missing.partition(".")[0]) if "." in missing else None
    if parent is not None:
        return f"is {missing!r} spelled right, and in the image?"
    return f"install {missing} in runtime.image; for `agentjobs dev` and `run --local`, in the environment they run in"


def misfit(ref: str, error: ValidationError) -> str:
    """What pydantic refused while `ref` was imported or called: an agent, or settings and other data of the user's."""
    made = {kind.__module__ for place in places(error) for kind in _kinds_of_self(place)}
    if any(module.startswith("google.adk.") for module in made):
        return f"{ref!r} defines an agent that ADK refuses: {first_problems(error)}"
    cure = "; set it in runtime.env" if any(module.startswith("pydantic_settings") for module in made) else ""
    return f"{ref!r} failed: {error.title}: {first_problems(error)}{_at(error)}{cure}"


def _kinds_of_self(place: Place) -> tuple[type, ...]:
    # Settings call their own `self` otherwise.
    return (*type(place.local("self")).__mro__, *type(place.local("__pydantic_self__")).__mro__)


def _missing(path: str, missing: str) -> str:
    parent, _, last = path.rpartition(".")
    if not (missing == path and parent):
        # Most who read this have started the development cluster in another folder.
        cure = "start `agentjobs dev` or `run --local` in the folder that has it"
        return f"no module {missing!r}; it must be in runtime.image, or on PYTHONPATH ({cure})"
    found = importlib.import_module(parent)
    if hasattr(found, last):
        return f"{parent!r} ({_place(found)}) is a module and {last!r} is in it; write {parent}:{last}"
    return f"package {parent!r} ({_place(found)}) has no module {last!r}; it has: {_public(found)}"


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
