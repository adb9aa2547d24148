"""`man`: print the manual page. It is made from the same texts as `--help`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import typer

from backup_platform import __version__
from backup_platform.cli.context import session_of
from backup_platform.cli.verbs import GROUPS, PANELS

ENVIRONMENT = (
    ("BACKUP_PLATFORM_PLAN", "The plan file, where --plan does not name one."),
    ("BACKUP_PLATFORM_KEY_FILE", "The file with the repository key. It replaces key_file of the plan."),
    ("BACKUP_PLATFORM_IDENTITY_FILE", "The file with identities. It replaces identity_file of the plan."),
    ("NO_COLOR", "When it is set, output has no colours."),
    ("XDG_STATE_HOME", "Where state is kept by default: $XDG_STATE_HOME/backup-platform."),
)
FILES = (
    ("./backup.yaml", "The plan file, where neither --plan nor the environment names one."),
    ("~/.local/state/backup-platform", "What this host remembers of its repositories. It may be lost."),
)
SEE_ALSO = (
    "The pages of the directory docs, above all docs/command-line.md, docs/plan.md and docs/restore.md."
)


def man(ctx: typer.Context) -> int:
    """Print the manual page, for the program `man`.

    \b
    Examples:
      backup-platform man | man -l -
      backup-platform man > /usr/local/share/man/man1/backup-platform.1
    """
    lines, out = list(page(ctx.find_root().command)), session_of(ctx).out
    out.document({"page": "\n".join(lines)})
    for line in lines:
        out.line(line)
    return 0


def page(root: Any) -> Iterator[str]:
    """The lines of the page, in the language of man(7)."""
    context = typer.Context(root, info_name="backup-platform", **root.context_settings)
    about, _, description = root.help.partition("\n")
    shared = {param.opts[0] for param in root.get_params(context)}
    yield f'.TH BACKUP\\-PLATFORM 1 "" "backup\\-platform {__version__}" "User Commands"'
    yield from (".nh", ".ad l")
    yield from (".SH NAME", f"backup\\-platform \\- {_text(about[0].lower() + about[1:].rstrip('.'))}")
    yield from (".SH SYNOPSIS", ".B backup\\-platform", "[OPTIONS] COMMAND [ARGS]...")
    yield from (".SH DESCRIPTION", *_prose(description))
    yield from (".SH OPTIONS", "All but the first may stand before or after the verb.")
    yield from _entries(_records(root, context, set()))
    for title, names in PANELS.items():
        yield f".SH {title.upper()}"
        for name in names:
            yield from _verbs(root.get_command(context, name), context, shared)
    yield from (".SH EXIT STATUS", *_prose(root.epilog.replace("Exit codes:\n", "")))
    yield from (".SH ENVIRONMENT", *_entries(ENVIRONMENT))
    yield from (".SH FILES", *_entries(FILES))
    yield from (".SH SEE ALSO", _text(SEE_ALSO))


def _verbs(command: Any, parent: Any, shared: set[str]) -> Iterator[str]:
    """A verb; of a group what it is about, and each of its verbs."""
    context = typer.Context(command, parent=parent, info_name=command.name, **command.context_settings)
    if command.name in GROUPS and parent.parent is None:
        yield from (f'.SS "{_text(context.command_path)} COMMAND"', *_prose(command.help))
        for name in command.list_commands(context):
            yield from _verbs(command.get_command(context, name), context, shared)
        return
    words = " ".join(piece for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]")
    yield f'.SS "{_text(f"{context.command_path} {words}".rstrip())}"'
    yield from _prose(command.help)
    yield from _entries(_records(command, context, shared))


def _records(command: Any, context: Any, shared: set[str]) -> Iterator[tuple[str, str]]:
    """The arguments and options as the help shows them, but those that every verb has."""
    for param in command.get_params(context):
        if param.opts[0] not in shared:
            record = param.get_help_record(context)
            if record is not None:
                yield record


def _entries(records: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, text in records:
        yield from (".TP", f"\\fB{_text(name)}\\fR", _text(text))


def _prose(text: str) -> Iterator[str]:
    """Paragraphs. One that begins with a backspace keeps its lines, as in the help."""
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip("\n"))):
        yield from [".PP"] if number else []
        if paragraph.startswith("\b"):
            yield from (".nf", *map(_text, paragraph.strip("\b\n").split("\n")), ".fi")
        else:
            yield _text(" ".join(paragraph.split()))


def _text(text: str) -> str:
    """What `man` shows as this text. Words in backquotes become bold."""
    shown = text.replace("\\", "\\e").replace("-", "\\-")
    shown = re.sub("`([^`]*)`", r"\\fB\1\\fR", shown)
    shown = "".join(each if each.isascii() else f"\\[u{ord(each):04X}]" for each in shown)
    return f"\\&{shown}" if shown.startswith((".", "'")) else shown
