"""The report of a run: one HTML file that needs no network, and its figures as pictures."""

from gas.report.html.page import page, write_report

__all__ = ["page", "write_report"]
