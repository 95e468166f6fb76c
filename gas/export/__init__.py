"""Designs as files that run without gas."""

from gas.export.rows import design_rows
from gas.export.source import identifier, module_source
from gas.export.standalone import ExportResult, export_design

__all__ = ["ExportResult", "design_rows", "export_design", "identifier", "module_source"]
