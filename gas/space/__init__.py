"""The search-space language: YAML text -> validated, typed spaces, and the one walk over them."""

from gas.space.document import Document, read_document
from gas.space.files import bundled, design_from_text, find, load, load_space, space_from_text
from gas.space.space import Realised, SearchSpace
from gas.space.tree import Decision

__all__ = [
    "Decision",
    "Document",
    "Realised",
    "SearchSpace",
    "bundled",
    "design_from_text",
    "find",
    "load",
    "load_space",
    "read_document",
    "space_from_text",
]
