"""The command line. Each command imports what it needs when it runs, so `gas --help` answers at once."""

from gas.cli.app import cli, designs_of
from gas.cli.entry import main
from gas.cli.searching import GENERATOR, GENERATORS

__all__ = ["GENERATOR", "GENERATORS", "cli", "designs_of", "main"]
