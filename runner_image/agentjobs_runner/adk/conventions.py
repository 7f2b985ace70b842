"""Finds the agent in a module by ADK's conventions: `app`, `root_agent`, or a file `root_agent.yaml`."""

import inspect
import warnings
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from google.adk.agents.base_agent import BaseAgent
from google.adk.apps.app import App
from pydantic import ValidationError
from yaml import YAMLError

from agentjobs_runner.endings import StartEnded, config_invalid, module_not_found
from agentjobs_runner.modules import attribute, file_of, first_problems, load_module, public_names

CONFIG: Final = "root_agent.yaml"


def load_agent(ref: str, field: str) -> Any:
    """Return the agent, App or factory of `ref`: a module, or `package.module:attribute`.

    Raises:
        StartEnded: ModuleNotFound or ConfigInvalid, with what was searched and what exists.
        Exception: any other exception of the module's import.
    """
    return attribute(ref, field) if ":" in ref else _conventional(load_module(ref, field), field)


def _conventional(module: ModuleType, field: str) -> Any:
    """The agent that ADK's own tools would find in `module`, or in its submodule `agent`."""
    looked_at = [module]
    if hasattr(module, "__path__") and find_spec(f"{module.__name__}.agent") is not None:
        looked_at.append(load_module(f"{module.__name__}.agent", field))
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
    looked = " and ".join(f"{place.__name__!r} ({file_of(place)})" for place in looked_at)
    raise module_not_found(
        f"{field}: neither an App called 'app' nor an agent called 'root_agent' is in {looked}; "
        f"it has: {public_names(looked_at[-1])}"
    )


def _configs(module: ModuleType) -> list[Path]:
    """The agent defined by a file in a package's folder, as `adk create --type=config` creates it."""
    return [file for folder in getattr(module, "__path__", ()) if (file := Path(folder, CONFIG)).is_file()]


def _configured(file: Path, field: str) -> Any:
    from google.adk.agents.config_agent_utils import from_config  # only for agents defined by a file

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # ADK's loader uses a deprecated class of its own
            return from_config(str(file))
    except ValidationError as error:
        raise config_invalid(f"{field}: ADK rejects {file}: {first_problems(error)}") from error
    except ImportError as error:
        raise module_not_found(f"{field}: {file} refers to a name that cannot be imported: {error}") from error
    except (ValueError, OSError, AttributeError, YAMLError) as error:
        text = " ".join(str(error).split())
        raise config_invalid(f"{field}: {file} cannot be used: {text}") from error


def _not_an_agent(module: ModuleType, name: str, field: str) -> StartEnded:
    found, where = getattr(module, name), f"{module.__name__}:{name}"
    if inspect.iscoroutine(found):
        found.close()
        function = found.__name__
        return config_invalid(
            f"{field}: {where} is a coroutine: {function} was called but not awaited; "
            f"use the function itself, which is awaited here: {module.__name__}:{function}"
        )
    if isinstance(found, (tuple, list)):
        cure = "return only the agent (an additional exit stack is for old versions of ADK)"
        return config_invalid(f"{field}: {where} is a {type(found).__name__} of {len(found)}; {cure}")
    if callable(found):
        return config_invalid(f"{field}: {where} is a function; to have it called, set {field}: {where}")
    return config_invalid(f"{field}: {where} is a {type(found).__name__}; it must be an Agent or an App")


def _is_app(found: object) -> bool:
    return isinstance(found, App)


def _is_agent(found: object) -> bool:
    from google.adk.workflow import BaseNode  # ADK loads it anyway when an agent runs

    return isinstance(found, (BaseAgent, BaseNode))
