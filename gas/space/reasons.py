"""Why designs turned out impossible: collected while the tables are made, told when nothing is left."""

from __future__ import annotations

from collections import Counter, defaultdict

from gas.errors import DesignError
from gas.patterns.base import PATTERNS
from gas.space.expressions import Expression


class Reasons:
    """Counts what stood in the way, by the segment where it showed."""

    def __init__(self) -> None:
        self._found: defaultdict[str, Counter[tuple[str, str]]] = defaultdict(Counter)
        self._held: set[str] = set()
        self._broken: set[str] = set()

    def note(self, segment: str, error: DesignError) -> None:
        """One way to decide a segment failed; the error's path is the full one."""
        self._found[segment][error.where, error.problem] += 1

    def note_rule(self, rule: Expression, holds: bool) -> None:
        """A rule was worked out."""
        (self._held if holds else self._broken).add(rule.text)

    def of_segment(self, segment: str, rules: tuple[Expression, ...]) -> DesignError:
        """Why nothing gets through a segment: a rule that never holds, else the commonest reason."""
        for index, rule in enumerate(rules):
            if rule.text in self._broken and rule.text not in self._held:
                return DesignError(f"rules[{index}]", f"no design satisfies {rule.text!r}")
        if not self._found[segment]:
            return DesignError(segment, "the rules leave nothing")
        # Of reasons equally common, the first that showed.
        return DesignError(*max(self._found[segment], key=self._found[segment].__getitem__))

    def of_choice(self, path: str, value: object, rules: tuple[Expression, ...]) -> str:
        """What is known about a choice that no design can use; empty where nothing is."""
        plain = path.split("(")[0]
        near = plain.rpartition(".")[0] or plain
        found = [DesignError(*key) for counts in self._found.values() for key in counts]
        named = [e for e in found if e.where.startswith(near) and f"got {value};" in e.problem]
        # Of a pattern: what stood in the way inside it, at an option that it has.
        named = named or [e for e in found if e.where.startswith(f"{plain}.") and _is_option(e.where, plain, value)]
        if named:
            return str(named[0])
        about = [f"rules[{i}]: {rule.text!r}" for i, rule in enumerate(rules) if plain in rule.paths]
        return " and ".join(about)


def _is_option(where: str, path: str, label: object) -> bool:
    """Whether a place right under a path is an option of the pattern that a choice is labelled with."""
    name = str(label).partition("#")[0]
    option = where.removeprefix(f"{path}.").partition(".")[0]
    return name in PATTERNS and option in PATTERNS.get(name).Options.model_fields
