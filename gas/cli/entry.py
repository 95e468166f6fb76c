"""Where the command line begins and ends: exit codes, and errors in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from gas import interrupts
from gas.cli import deployment, designs, reporting, runs, searching, training  # noqa: F401  that the commands are there
from gas.cli.app import cli
from gas.errors import GasError
from gas.report.terminal import INTERRUPTED, complain, usage


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code: 0 fine, 2 something the user can put right, 130 interrupted."""
    interrupts.listen()
    try:
        code = cli.main(args=arguments, prog_name="gas", standalone_mode=False)
        sys.stdout.flush()  # here, where it can still be told that nobody reads
        return code if isinstance(code, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        return complain(usage(error))
    except GasError as error:
        return complain(str(error))
    except (KeyboardInterrupt, click.Abort):
        click.echo("gas: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone. Python will flush once more at its end, and may do so into the void.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    finally:
        interrupts.forget()
