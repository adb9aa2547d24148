"""The typer application: the options that all verbs share, and how one command line is run."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from backup_platform.cli.context import CliSession, session_of
from backup_platform.cli.display.output import OutputClosedError
from backup_platform.cli.failure import guarded
from backup_platform.cli.verbs import GROUPS, LISTINGS, PANELS, VERBS
from backup_platform.errors import UsageError

PROGRAM = "backup-platform"
COMPLETING = "_BACKUP_PLATFORM_COMPLETE"  # set by the shell that asks

HELP = """Back up databases and file trees, prove that the backups can be restored, and restore them.

Dagster does not have to run, or to be installed. POINT is a recovery point: SOURCE@latest, SOURCE@2026-11-21,
SOURCE@WINDOW, or the beginning of its id.
"""

EXIT_CODES = """\b
Exit codes:
    0  done
    1  failed, or a proof found a difference
    2  wrong usage, or an invalid plan
    3  incomplete: the recovery point lacks a part of the source; or it is suspect;
       or something is in no source
   10  there is no repository
   11  no such source, recovery point or path
   12  the key is missing or wrong, or this is another repository than before
  130  interrupted
  141  done, but the program that read the output has ended
"""

_PLAN_HELP = "The plan file. [default: $BACKUP_PLATFORM_PLAN, or ./backup.yaml]"
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def run(arguments: Sequence[str]) -> int:
    """Parse and carry out one command line; its exit code."""
    session = CliSession()
    session.json = "--json" in _options(arguments)  # known before parsing: errors of usage are JSON too
    return guarded(session, lambda: _dispatch(session, list(arguments)))


def _dispatch(session: CliSession, arguments: list[str]) -> int:
    command: Any = typer.main.get_command(_application())
    try:
        code = command.main(arguments or ["--help"], prog_name=PROGRAM, standalone_mode=False, obj=session)
    except typer.TyperException as error:
        raise _usage_error(error) from error
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    except OSError as error:  # verbs catch their own: help was being written
        raise OutputClosedError(error.errno, error.strerror) from error
    if not arguments:
        return UsageError.exit_code
    return int(code or 0)


def _usage_error(error: typer.TyperException) -> UsageError:
    path = getattr(getattr(error, "ctx", None), "command_path", PROGRAM)
    return UsageError(error.format_message(), hint=f"`{path} --help` shows how it is used.")


def _options(arguments: Sequence[str]) -> list[str]:
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return list(arguments[:end])


def _set_plan(ctx: typer.Context, value: str | None) -> None:
    if value is not None:
        session_of(ctx).plan = value


def _set_repository(ctx: typer.Context, value: str | None) -> None:
    if value is not None:
        session_of(ctx).repository = value


def _set_debug(ctx: typer.Context, value: bool) -> None:
    if value:
        session_of(ctx).debug = True


def _version(value: bool) -> None:
    if value:
        from backup_platform import __version__

        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


def _shared(
    plan: Annotated[
        str | None,
        typer.Option("--plan", metavar="FILE", help=_PLAN_HELP, callback=_set_plan, expose_value=False),
    ] = None,
    repository: Annotated[
        str | None,
        typer.Option(
            "--repository",
            metavar="NAME",
            help="Use this repository of the plan, for example one with copies. [default: the first]",
            callback=_set_repository,
            expose_value=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on standard output.", expose_value=False)
    ] = False,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help="Show where an unexpected error happened.",
            callback=_set_debug,
            expose_value=False,
        ),
    ] = False,
) -> None:
    """The options that may stand before or after a verb; `run` looks for `--json` itself."""


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_version, is_eager=True, expose_value=False
        ),
    ] = False,
) -> None:
    """The options that stand before the verb only."""


WHOLE = 1000


class _Verb(TyperCommand):
    """A verb: it has the shared options, and every failure in it is reported by our rules, not by typer's."""

    def __init__(self, name: str | None, **settings: Any) -> None:
        super().__init__(name, **_with_shared(settings))

    def get_params(self, ctx: Any) -> list[Any]:
        return _as_typed(super().get_params(ctx))

    def get_short_help_str(self, limit: int = WHOLE) -> str:
        """The whole first sentence. typer's own method cuts it after some words."""
        return super().get_short_help_str(WHOLE)

    def invoke(self, ctx: Any) -> int:
        carry_out = super().invoke
        session_of(ctx).listing = self.name in LISTINGS
        return guarded(session_of(ctx), lambda: int(carry_out(ctx) or 0))


class _Verbs(TyperGroup):
    """Imports a verb's module when the verb is asked for."""

    verbs: ClassVar[Mapping[str, tuple[str, str]]] = VERBS
    groups: ClassVar[Mapping[str, Any]] = GROUPS
    panels: ClassVar[Mapping[str, Sequence[str]]] = PANELS

    def __init__(self, **settings: Any) -> None:
        super().__init__(**_with_shared(settings))

    def get_params(self, ctx: Any) -> list[Any]:
        return _as_typed(super().get_params(ctx))

    def get_short_help_str(self, limit: int = WHOLE) -> str:
        return super().get_short_help_str(WHOLE)

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for names in self.panels.values() for name in names]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        # the suggestions for a misspelt verb need all their names
        known = cmd_name in self.verbs or cmd_name in self.groups
        for name in [cmd_name] if known else self.list_commands(ctx):
            if name not in self.commands:
                self.commands[name] = self._load(name)
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """A list for each panel, with all descriptions in one column."""
        width = max(map(len, self.list_commands(ctx)))
        for title, names in self.panels.items():
            commands = [(f"{name:{width}}", self.get_command(ctx, name)) for name in names]
            with formatter.section(title):
                formatter.write_dl([(name, command.get_short_help_str()) for name, command in commands])

    def _load(self, name: str) -> Any:
        return _group(name, *self.groups[name]) if name in self.groups else _load(name, self.verbs[name])


def _application() -> typer.Typer:
    application = _typer(add_completion=True)
    application.callback(cls=_Verbs, help=HELP, epilog=EXIT_CODES, context_settings=_CONTEXT)(_root)
    return application


def _group(name: str, about: str, verbs: Mapping[str, tuple[str, str]]) -> Any:
    group = type("_Group", (_Verbs,), {"verbs": verbs, "groups": {}, "panels": {"Commands": list(verbs)}})
    application = _typer(add_completion=False)
    application.callback(cls=group, help=about, epilog=EXIT_CODES, context_settings=_CONTEXT)(_no_options)
    made: Any = typer.main.get_command(application)
    made.name = name
    return made


def _no_options() -> None:
    """A group of verbs has the shared options only."""


def _load(verb: str, place: tuple[str, str]) -> Any:
    module, name = place
    function = getattr(import_module(f"backup_platform.cli.{module}"), name)
    text = inspect.cleandoc(function.__doc__)
    return _command(function, name=verb, cls=_Verb, help=text, epilog=EXIT_CODES, context_settings=_CONTEXT)


class _AsTyped:
    """Takes a word of the command line as it is. typer's own way to a string imports pydantic's, 0.3 s.

    An empty word is refused, of every verb: it is a variable that is not set, and would mean another thing or all.
    """

    def coerce(self, value: Any, *, param: Any, **_: Any) -> Any:
        if "" in (value if isinstance(value, list | tuple) else (value,)):
            name = param.metavar if param.param_type_name == "argument" else param.opts[0]
            raise UsageError(
                f"{name or param.human_readable_name} is empty.",
                hint="Is a variable of the shell not set? Give a value, or leave the word out.",
            )
        return value


def _as_typed(params: list[Any]) -> list[Any]:
    """The parameters (all are flags, strings or lists of strings), to be taken as they are."""
    for param in params:
        param.get_runtime_param = _AsTyped
        if param.param_type_name == "argument":
            _show_plainly(param)
        if COMPLETING in os.environ:
            from backup_platform.cli.completing import completion

            param._custom_shell_complete = completion(str(param.metavar), param.opts[0])  # noqa: SLF001
    return params


def _show_plainly(argument: Any) -> None:
    """Show an argument in the help as manuals do: `POINT`, where typer shows `{POINT}` and `POINT <str>`."""
    shown = argument.metavar if argument.required else f"[{argument.metavar}]"
    shown += "..." if argument.nargs != 1 else ""
    argument.display_type_rich = lambda ctx: ""
    argument.get_usage_pieces = lambda ctx: [shown]


def _with_shared(settings: dict[str, Any]) -> dict[str, Any]:
    shared = _command(_shared, add_help_option=False).params
    return {**settings, "params": [*settings.get("params", ()), *shared]}


def _command(function: Callable[..., Any], **settings: Any) -> Any:
    application = _typer(add_completion=False)
    application.command(**settings)(function)
    return typer.main.get_command(application)


def _typer(*, add_completion: bool) -> typer.Typer:
    """Plain help: formatting it with rich would import rich, and pages and logs read better without boxes."""
    return typer.Typer(add_completion=add_completion, rich_markup_mode=None, pretty_exceptions_enable=False)
