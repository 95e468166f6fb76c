"""What `gas report` does."""

from __future__ import annotations

from pathlib import Path

from gas.report.html.page import check_out, write_report
from gas.report.html.reading import Contents
from gas.report.html.static import check_place, write_figures
from gas.run import open_run


def report_command(path: str, out: str | None, static: str | None, *, overwrite: bool) -> list[Path]:
    """Writes the page, and the figures where a folder is given; returns the files.

    Raises:
        SettingError: A file is in the way, or a folder is missing; before anything is written.
        RunError: There is no run, or it is damaged.
    """
    file, folder = (None if given is None else Path(given) for given in (out, static))
    run = open_run(path)
    check_out(file, overwrite=overwrite)
    if folder is not None:
        check_place(folder, overwrite=overwrite)
    contents = Contents.of(run)
    written = [write_report(run, file, overwrite=overwrite, contents=contents)]
    return written + (write_figures(contents, folder, overwrite=overwrite) if folder is not None else [])
