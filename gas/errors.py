"""The errors that gas raises, and the one form in which they speak.

    GasError                    anything gas tells its user about; the command line prints it and exits with 2
    |-- SpaceError              a search space or design file is wrong; holds every problem found in the file
    |-- DesignError             an architecture that cannot be built: where in the design, and why
    |-- UnknownNameError        a name that no registry, folder or table holds; says the nearest one
    |-- SettingError            an option of a command or a keyword of a function is out of its range
    |-- RunError                a run directory is missing, in the way, damaged or does not hold an id
    |-- DataError               image data that cannot be found or read
    `-- ExportError             an exported file does not do what the design does

Every text reads `WHERE: got X; expected Y; did you mean Z?`. Parts that are not known are left out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class GasError(Exception):
    """Anything wrong that the user can put right; its text is one line (several problems: one line each)."""


class DesignError(GasError):
    """An architecture that cannot exist: `where` is its path (`stages[2].blocks[0].mixer.heads`)."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}" if where else problem)
        self.where = where
        self.problem = problem

    def __reduce__(self) -> tuple:
        return type(self), (self.where, self.problem)


class SpaceError(GasError):
    """A search space or design file is wrong; `problems` holds one line for each problem found."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple:
        return type(self), (self.problems,)


class UnknownNameError(GasError):
    """A name that nothing goes by."""


class SettingError(GasError):
    """An option or keyword whose value cannot be used."""


class RunError(GasError):
    """A run directory that is missing, in the way, damaged, or lacks what was asked for."""


class DataError(GasError):
    """Image data that cannot be found or read."""


class ExportError(GasError):
    """An exported file that does not reproduce its design."""


def first_line(error: BaseException) -> str:
    """What an exception of somebody else's says, in one line; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None where nothing is alike."""
    found = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.5)
    return found[0] if found else None


def describe(got: object, expected: str, *, known: Iterable[str] = ()) -> str:
    """`got X; expected Y; did you mean Z?`, the last part only where a known name is near."""
    text = f"got {got!r}; expected {expected}"
    near = nearest(str(got), known) if known else None
    return f"{text}; did you mean {near!r}?" if near and near != got else text


def unknown(what: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """The error for a name that is not among `known`."""
    names = sorted(str(k) for k in known)
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return UnknownNameError(
        f"{what}: {describe(name, f'one of {listed}' if names else 'none exists yet', known=names)}"
    )
