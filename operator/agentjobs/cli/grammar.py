"""How the program parses its command line and prints help: typer's classes with kubectl's conventions.

Flags that every verb has are also accepted before the verb. `describe` is an alias of `show`, `list` of `get`. A verb's
docstring is its help: the first line is its summary, lines below `Examples:` are printed unchanged.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Final

import typer
from typer.core import TyperCommand, TyperGroup

from agentjobs.cli.failures import USAGE, Failure

HELP_FLAGS: Final[Mapping[str, Any]] = {"help_option_names": ["-h", "--help"]}
GLOBAL: Final = ("namespace", "context", "kubeconfig", "gateway", "gateway_ca")
"""Names of the parameters whose flags are also accepted before the verb."""
_EXAMPLES: Final = "\n\nExamples:\n"


class Verb(TyperCommand):
    """A verb whose help includes examples."""

    def __init__(self, *args: Any, help: str | None = None, **more: Any) -> None:  # noqa: A002  typer's name
        text, _, examples = (help or "").partition(_EXAMPLES)
        super().__init__(*args, help=text, **more)
        self.examples = [line.strip() for line in examples.splitlines() if line.strip()]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line, and refuse empty values: those of unset shell variables would mean everything."""
        for parameter in self.params:
            if parameter.param_type_name == "argument" and getattr(parameter, "min", None) is not None:
                _check_sign(args, parameter)
        rest = super().parse_args(ctx, args)
        for parameter in self.params:
            given = ctx.params.get(parameter.name)
            values = given if isinstance(given, list | tuple) else [given]
            if parameter.name == "command" or ctx.resilient_parsing:
                continue
            if any(isinstance(value, str) and not value.strip() for value in values):
                raise Failure(f"{_spelt(parameter)} is empty; give a value, or leave it out.", code=USAGE)
        return rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write usage, text, examples and options."""
        arguments = [parameter for parameter in self.params if parameter.param_type_name == "argument"]
        formatter.write_usage(ctx.command_path, " ".join([*map(_metavar, arguments), "[OPTIONS]"]))
        self.format_help_text(ctx, formatter)
        _section(formatter, "Examples", self.examples)
        _list(
            formatter, "Arguments", [(_metavar(parameter).strip("[]"), _meaning(parameter)) for parameter in arguments]
        )
        options = _options(self.get_params(ctx))
        own, common = [
            [parameter for parameter in options if (parameter.name in GLOBAL) is shared] for shared in (False, True)
        ]
        _list(formatter, "Options", [(_flags(parameter), _meaning(parameter)) for parameter in own])
        _list(formatter, "Global options", [(_flags(parameter), _meaning(parameter)) for parameter in common])


class Verbs(TyperGroup):
    """The program, or a group such as `schedule`: finds the verb and passes it the flags that came before it."""

    synonyms: ClassVar[Mapping[str, str]] = {}
    """Aliases of verbs, from other programs."""
    sections: ClassVar[Mapping[str, Sequence[str]]] = {}
    """The verbs under headings, in the order of the help; one heading when empty."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what comes before the verb; print help when there are no arguments."""
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the verb's name, the verb and its arguments."""
        word = self.synonyms.get(args[0], args[0])
        name, command, rest = super().resolve_command(ctx, [word, *args[1:]])
        return name, command, [*_given(ctx), *rest]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the verbs by their sections."""
        formatter.write_usage(ctx.command_path, "VERB [OPTIONS]")
        self.format_help_text(ctx, formatter)
        for heading, names in (self.sections or {"Verbs": list(self.commands)}).items():
            _list(formatter, heading, [(name, summary(self.commands[name])) for name in names])
        options = _options(self.get_params(ctx))
        _list(formatter, "Global options", [(_flags(parameter), _meaning(parameter)) for parameter in options])
        formatter.write_paragraph()
        formatter.write_text(f"See '{ctx.command_path} VERB --help' for a verb's examples and options.")


class Program(typer.Typer):
    """A typer app whose commands are verbs."""

    def __init__(self, *, cls: type[Verbs] = Verbs, help: str) -> None:  # noqa: A002  typer's name
        super().__init__(
            cls=cls, help=help, context_settings=dict(HELP_FLAGS), rich_markup_mode=None, pretty_exceptions_enable=False
        )

    def command(self, name: str | None = None, **more: Any) -> Callable[[Any], Any]:
        """Add a function as a verb."""
        return super().command(name, **{"cls": Verb, **more})


def summary(command: Any) -> str:
    """Return the first line of a verb's help, without its full stop."""
    return str(command.help or "").strip().partition("\n")[0].rstrip(".")


def complaint(error: Exception) -> tuple[str, int] | None:
    """Return the message and exit code for a command line that cannot be parsed; None for any other error."""
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        return None
    context = getattr(error, "ctx", None)
    message = str(format_message()).rstrip(".")
    message = _not_a_number(error) or message[:1].lower() + message[1:]
    where = f"\nSee '{context.command_path} --help'." if context else ""
    end = "" if message.endswith("?") else "."
    return f"{message}{end}{where}", int(getattr(error, "exit_code", 2))


def _not_a_number(error: Exception) -> str:
    """Return the message for an invalid number, with its value and the range; typer's has neither. Else empty."""
    parameter: Any = getattr(error, "param", None)
    found: list[Any] = getattr(error.__cause__, "errors", list)()
    if parameter is None or not found:
        return ""
    return _invalid_number(parameter, str(found[0]["input"]))


def _invalid_number(parameter: Any, value: str) -> str:
    low, high = parameter.min, parameter.max
    cure = f"a number from {low} to {high}" if high is not None else "a number" if low is None else f"{low} or more"
    return f"{_spelt(parameter)}={value[:40]} is invalid; use {cure}"


def _check_sign(args: Sequence[str], argument: Any) -> None:
    """Refuse a negative number as the argument; the parser would call it an unknown option.

    Raises:
        Failure: there is one, and it is not the value of an option.
    """
    for before, word in pairwise(["", *args]):
        if re.fullmatch(r"-[0-9]+(\.[0-9]+)?", word, re.ASCII) and not before.startswith("-"):
            raise Failure(f"{_invalid_number(argument, word)}.", code=USAGE)


def _spelt(parameter: Any) -> str:
    if parameter.param_type_name == "option":
        return str(max(parameter.opts, key=len))
    return _metavar(parameter).strip("[].")


def _options(parameters: Sequence[Any]) -> list[Any]:
    return [parameter for parameter in parameters if parameter.param_type_name == "option" and not parameter.hidden]


def _given(ctx: Any) -> Iterator[str]:
    for name in GLOBAL:
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE" and ctx.params.get(name) is not None:
            yield f"--{name.replace('_', '-')}={ctx.params[name]}"


def _metavar(parameter: Any) -> str:
    word = parameter.metavar or parameter.name.upper()
    return word if parameter.required or word.startswith("[") else f"[{word}]"


def _flags(option: Any) -> str:
    names = ", ".join(sorted((*option.opts, *option.secondary_opts), key=len))
    if option.is_flag or option.name == "help":
        return names
    return f"{names} {option.metavar or max(option.opts, key=len).rpartition('-')[2].upper()}"


def _meaning(parameter: Any) -> str:
    return str(parameter.help or "").rstrip(".")


def _section(formatter: Any, heading: str, lines: Sequence[str]) -> None:
    if lines:
        with formatter.section(heading):
            for line in lines:
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


def _list(formatter: Any, heading: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(heading):
            formatter.write_dl(rows)
