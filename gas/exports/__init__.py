"""Designs as files that run without gas."""

from gas.exports.card import other_words
from gas.exports.formats import SUFFIXES
from gas.exports.rows import design_rows
from gas.exports.source import identifier, module_source
from gas.exports.standalone import ExportResult, export_design
from gas.exports.trained import export_trained

__all__ = [
    "SUFFIXES",
    "ExportResult",
    "design_rows",
    "export_design",
    "export_trained",
    "identifier",
    "module_source",
    "other_words",
]
