"""What trainings left that may be gone on with: a file per candidate, whole or not there, beside the archive."""

from __future__ import annotations

import contextlib
from pathlib import Path

from gas.disk import write_whole
from gas.errors import RunError

FOLDER = "states"


class States:
    """The states of candidates that are under way on a ladder.

    They are a convenience: where one is missing, the candidate's training begins anew and comes to the same.

    Args:
        run: Directory of the run.
    """

    def __init__(self, run: Path) -> None:
        self.folder = run / FOLDER

    def keep(self, number: int, rung: int, state: bytes) -> None:
        """Puts a candidate's state after a rung on the disk, in place of that after the rung below.

        Raises:
            RunError: It cannot be written.
        """
        file = self._file(number, rung)
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise RunError(f"{file}: cannot be written: {error.strerror}") from error
        write_whole(file, state)
        self._remove(number, range(rung))

    def load(self, number: int, rung: int) -> bytes:
        """A candidate's state after a rung; empty where it is not there."""
        try:
            return self._file(number, rung).read_bytes()
        except OSError:
            return b""

    def drop(self, number: int, rungs: int) -> None:
        """Removes what there is of a candidate, on a ladder of so many rungs."""
        self._remove(number, range(rungs))

    def close(self) -> None:
        """Removes the folder where nothing is left in it."""
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _remove(self, number: int, rungs: range) -> None:
        for rung in rungs:
            with contextlib.suppress(OSError):
                self._file(number, rung).unlink(missing_ok=True)

    def _file(self, number: int, rung: int) -> Path:
        return self.folder / f"{number}-{rung}.state"
