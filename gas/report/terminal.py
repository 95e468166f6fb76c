"""How the command line speaks where it is not a command that speaks: near names, Ctrl-C, what was wrong with a call."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import ClassVar

import click

from gas.errors import UnknownNameError, describe, nearest

INTERRUPTED = 130  # as the shell has it for SIGINT


class Commands(click.Group):
    """The commands under headings, in the order of use, with a near name for a mistyped one."""

    headings: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "Search": ("search", "check", "schema", "profile", "train-bank", "validate-proxies"),
        "Runs": ("watch", "front", "report", "compare", "merge", "to-optuna"),
        "Designs": ("zoo", "show", "cost", "estimate", "latency"),
        "Deployment": ("export", "train"),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        """As the headings have them, and then those under no heading."""
        order = [name for names in self.headings.values() for name in names if name in self.commands]
        return [*order, *(name for name in self.commands if name not in order)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Click's own, a section for each heading."""
        width = max(len(name) for name in self.commands)
        for heading, names in self.headings.items():
            known = [(name, self.commands[name]) for name in names if name in self.commands]
            limit = formatter.width - 6 - width
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), command.get_short_help_str(limit)) for name, command in known])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple:
        """Click's own, saying what was probably meant."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in self.commands:
            known = self.list_commands(ctx)
            text = describe(name, f"one of {', '.join(known)}", known=known)
            raise UnknownNameError(f"command: {text}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Click's own, with Ctrl-C told in our words."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            click.echo("\n" * sys.stderr.isatty() + f"gas: {str(stop) or 'interrupted'}", err=True)
            return ctx.exit(INTERRUPTED)


def complain(text: str) -> int:
    """Prints an error, a line for each problem; returns the exit code."""
    for line in text.splitlines():
        click.echo(f"gas: {line}", err=True)
    return 2


def usage(error: click.ClickException) -> str:
    """Click's words on a wrong call, behind the command's name, with the nearest option for one that is unknown."""
    context = getattr(error, "ctx", None)
    if context is None:
        return error.format_message()
    if isinstance(error, click.NoSuchOption):
        known = [name for p in context.command.params for name in p.opts]
        near = nearest(error.option_name, known)
        return f"{context.info_name}: no such option {error.option_name}" + (f"; did you mean {near}?" if near else "")
    return f"{context.info_name}: {error.format_message()}"
