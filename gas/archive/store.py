"""What a search has asked for, and what came of it: an append-only SQLite file, of which all else is a view.

Every write is on the disk before the call returns (write-ahead log, synced at each commit), so a process that is
killed at any moment loses nothing that it was told is there. Asked and told carry numbers of one sequence: a search is
resumed by going through `events` in order. Reading beside a writer sees a consistent state and holds nobody up.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gas.architecture import Architecture
from gas.archive import files, frames
from gas.archive.frames import Setting, Told
from gas.errors import GasError, RunError, describe, nearest
from gas.evaluation import Candidate, Climb, Constraint, Evaluation, Objective, Status

if TYPE_CHECKING:
    import pandas as pd

WORDS = {dict: "mapping", list: "list of mappings"}


class Archive:
    """The archive of one run; made by `create` or `open`, one writer at a time, any number of readers.

    Wherever a path is taken, it is the run directory or the file in it.

    Args:
        file: The SQLite file.
        connection: To that file; the archive closes it.
    """

    def __init__(self, file: Path, connection: sqlite3.Connection) -> None:
        self.file = file
        self._connection = connection
        # A reader may meet an archive from before there were probes or climbs.
        version = files.version_of(connection)
        self._probes = "probes" if version > 1 else "''"
        self._has_climbs = version > 2
        self._checked = False  # the sums, once

    @classmethod
    def create(cls, path: str | Path) -> Archive:
        """A new, empty archive in an existing folder.

        Raises:
            RunError: There is one already, or the folder cannot be written to.
        """
        file = files.file_of(path)
        files.create(file)
        return cls.open(file)

    @classmethod
    def open(cls, path: str | Path, readonly: bool = False) -> Archive:
        """The archive of a run, which another process may be writing to where `readonly`.

        One of an older version of the schema is read as it is, and brought up to date where it is opened for writing.

        Raises:
            RunError: It is missing, damaged (says how), or of a later version of the schema.
        """
        file = files.file_of(path)
        return cls(file, files.connect(file, readonly=readonly))

    def close(self) -> None:
        """Lets go of the file; a second call does nothing."""
        self._connection.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Writing

    def together(self) -> contextlib.AbstractContextManager[None]:
        """All that is written within is put on the disk at once, at its end; what costs is putting it there.

        Each event within stands or falls by itself, also where an exception ends the block: those before it stay.
        """
        return files.together(self.file, self._connection)

    def ask(self, candidate: Candidate) -> None:
        """Records that a candidate was proposed. RunError where its number is taken."""
        architecture = candidate.architecture
        decisions = json.dumps(dict(candidate.decisions))
        row = (candidate.number, architecture.id, architecture.to_json(), candidate.origin, decisions)

        def write(seq: int) -> None:
            if self._rows("SELECT 1 FROM asked WHERE number = ?", candidate.number):
                raise RunError(f"{self.file}: got candidate {candidate.number} again; expected each number once")
            self._connection.execute(
                "INSERT INTO asked (seq, number, id, architecture, origin, decisions) VALUES (?, ?, ?, ?, ?, ?)",
                (seq, *row),
            )

        self._write("asked", write)

    def tell(self, evaluation: Evaluation, worker: str = "", fidelity: str = "") -> None:
        """Records what came of a candidate: exactly once for each.

        Args:
            evaluation: What came of it.
            worker: Where it was evaluated.
            fidelity: JSON of the fidelity of its proxies; empty where none ran.

        Raises:
            RunError: The candidate was not asked for, is another one, or has been told before.
        """
        number, told = evaluation.candidate.number, evaluation.candidate.architecture.id
        metrics = json.dumps(dict(evaluation.metrics))
        probes = json.dumps([dict(block) for block in evaluation.probes]) if evaluation.probes else ""
        row = (number, str(evaluation.status), metrics, evaluation.reason, evaluation.seconds, worker, fidelity, probes)

        def write(seq: int) -> None:
            asked = self._rows("SELECT id FROM asked WHERE number = ?", number)
            if asked != [(told,)]:
                expected = f"{asked[0][0]}, which was asked for" if asked else "one that was asked for"
                raise RunError(f"{self.file}: got an evaluation of candidate {number} ({told}); expected {expected}")
            if self._rows("SELECT 1 FROM told WHERE number = ?", number):
                raise RunError(f"{self.file}: got a second evaluation of candidate {number}; expected one")
            self._connection.execute(
                "INSERT INTO told (seq, number, status, metrics, reason, seconds, worker, fidelity, probes)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (seq, *row),
            )

        self._write("told", write)

    def climb(self, climb: Climb, worker: str = "", fidelity: str = "") -> None:
        """Records what a candidate came to at a rung below the last.

        Args:
            climb: What it came to.
            worker: Where.
            fidelity: JSON of the fidelity of that rung.

        Raises:
            RunError: The candidate was not asked for, or has come to something there or been told before.
        """
        number = climb.candidate.number
        metrics, costs = (json.dumps(dict(values)) for values in (climb.metrics, climb.costs))
        row = (number, climb.rung, metrics, costs, int(climb.goes_on), climb.seconds, worker, fidelity)

        def write(seq: int) -> None:
            if self._rows("SELECT id FROM asked WHERE number = ?", number) != [(climb.candidate.architecture.id,)]:
                raise RunError(f"{self.file}: got a climb of candidate {number}; expected one that was asked for")
            if self._rows("SELECT 1 FROM told WHERE number = ?", number) or self._rows(
                "SELECT 1 FROM climbs WHERE number = ? AND rung = ?", number, climb.rung
            ):
                raise RunError(f"{self.file}: got rung {climb.rung} of candidate {number} a second time; expected one")
            self._connection.execute(f"INSERT INTO climbs VALUES ({', '.join('?' * 9)})", (seq, *row))

        self._write("climbed", write)

    def measure(
        self,
        id: str,
        *,
        target: str,
        batch: int,
        threads: int,
        median_ms: float,
        q1_ms: float,
        q3_ms: float,
        repeats: int,
        reference: str = "",
        ratio: float | None = None,
    ) -> None:
        """Records a latency measured on a design.

        Args:
            id: Content id of the design.
            target: Name of the device it was measured on.
            batch: Images per call.
            threads: CPU threads.
            median_ms: Median over the calls, milliseconds.
            q1_ms: Lower quartile.
            q3_ms: Upper quartile.
            repeats: Number of calls.
            reference: Name of the design that it was measured beside; empty for none.
            ratio: Its latency over that design's.
        """
        row = (id, target, batch, threads, median_ms, q1_ms, q3_ms, repeats, reference, ratio)

        def write(seq: int) -> None:
            self._connection.execute(f"INSERT INTO measurements VALUES ({', '.join('?' * 11)})", (seq, *row))

        self._write("measured", write)

    # Reading

    def events(self) -> Iterator[tuple[Literal["asked", "climbed", "told"], Candidate | Climb | Evaluation]]:
        """Everything asked, climbed and told up to now, in the order in which it happened."""
        with self._snapshot():
            asked, told = self._read()
            climbs = self._climbs(asked)
        happened = [(seq, "asked", candidate) for seq, candidate in asked.values()]
        happened += [(seq, "climbed", climb) for seq, climb in climbs]
        happened += [(seq, "told", row.evaluation) for seq, row in told]
        try:
            happened.sort(key=lambda entry: entry[0])
        except TypeError as error:
            raise self._damaged(f"the places of events cannot be compared: {error}") from error
        for _, kind, event in happened:
            yield kind, event

    def climbs(self) -> list[Climb]:
        """What candidates came to at rungs below the last, in the order in which it happened."""
        return [event for kind, event in self.events() if kind == "climbed"]

    def candidates(self) -> list[Candidate]:
        """All candidates, in the order in which they were asked for."""
        return [event for kind, event in self.events() if kind == "asked"]

    def evaluations(self) -> list[Evaluation]:
        """All evaluations, in the order in which they were told."""
        return [event for kind, event in self.events() if kind == "told"]

    def in_flight(self) -> list[Candidate]:
        """Candidates that were asked for and never told, in the order in which they were asked for."""
        asked, told = self._read()
        done = {row.evaluation.candidate.number for _, row in told}
        return [candidate for number, (_, candidate) in asked.items() if number not in done]

    def architecture(self, id_or_number: str | int) -> Architecture:
        """A design by content id (or the beginning of one, four digits or more) or by its candidate's number.

        Raises:
            RunError: There is none; says the nearest.
        """
        wanted = str(id_or_number)
        rows = self._rows("SELECT id, number, architecture FROM asked ORDER BY number DESC")
        ids = {} if isinstance(id_or_number, int) else {id: (number, text) for id, number, text in rows}
        numbers = {str(number): (number, text) for _, number, text in rows}
        begun = [id for id in ids if id.startswith(wanted)] if len(wanted) >= 4 else []
        found = ids.get(wanted) or numbers.get(wanted) or (ids[begun[0]] if len(begun) == 1 else None)
        if found:
            return self._architecture(*found)
        if begun:
            expected = f"more of it, to tell {' from '.join(sorted(begun)[:4])}"
            raise RunError(f"{self.file.parent}: {describe(id_or_number, expected)}")
        near = nearest(wanted, ids or numbers)
        problem = describe(id_or_number, f"the id or number of one of the run's {len(rows)} candidates")
        raise RunError(f"{self.file.parent}: {problem}{f'; did you mean {near!r}?' if near else ''}")

    def latencies(self, setting: Setting) -> dict[str, float]:
        """Content id -> measured median in ms at a target, batch and threads; the last where there are several."""
        query = "SELECT id, median_ms FROM measurements WHERE target = ? AND batch = ? AND threads = ? ORDER BY seq"
        return dict(self._rows(query, *setting))

    def probes(self, id: str) -> tuple[dict[str, float], ...]:
        """What probing a design found, as in `Evaluation`, by its content id; empty where it was not probed."""
        query = f"SELECT number, {self._probes} FROM told JOIN asked USING (number) WHERE id = ?"
        found = [(text, number) for number, text in self._rows(query, id) if text]
        return self._blocks(*found[-1]) if found else ()

    def frame(self, latency: Setting | None = None) -> pd.DataFrame:
        """One row per evaluation, in the order told, with typed columns.

        Columns: id, number, status, reason, origin; each metric (macs and params Int64, others float64); where
        latencies were measured: latency_ms, latency_ms_q1, latency_ms_q3, latency_ratio; each decision under its path
        (missing where the design has no such decision); seconds, worker, fidelity, architecture (canonical JSON).
        `attrs["units"]` holds units of columns, `attrs["latency"]` the target, batch and threads of the latencies.

        Args:
            latency: Target, batch and threads whose latencies are shown; those measured last where not given.
                Latencies of different settings never stand in one frame, and of one design's the last counts.
        """
        with self._snapshot():
            told = [row for _, row in self._read()[1]]
            columns = ", ".join(frames.MEASURED)
            measured = self._rows(f"SELECT {columns} FROM measurements ORDER BY seq")
        return frames.frame_of(told, measured, latency)

    def front(
        self,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint] = (),
        latency: Setting | None = None,
    ) -> pd.DataFrame:
        """The rows of `frame` that are ok and that no other such row dominates, best in the first objective first.

        Args:
            objectives: What is wanted; at least one. A row without a value for each of them is left out.
            constraints: Absolute bounds; a row whose value is unknown (a latency not measured) does not hold them.
            latency: As for `frame`.

        Raises:
            UnknownNameError: There are evaluations that are ok, and an objective or constraint names none of their
                columns.
        """
        return frames.front_of(self.frame(latency), objectives, constraints)

    def _read(self) -> tuple[dict[int, tuple[int, Candidate]], list[tuple[int, Told]]]:
        """Candidates by number, in the order asked, and what was told, in that order; each with its place."""
        with self._snapshot():
            asked = self._rows("SELECT seq, number, architecture, origin, decisions FROM asked ORDER BY seq")
            columns = f"seq, number, status, metrics, reason, seconds, worker, fidelity, {self._probes}"
            told = self._rows(f"SELECT {columns} FROM told ORDER BY seq")
        candidates = {}
        for seq, number, text, origin, decisions in asked:
            chosen = _tuples(self._json(decisions, "asked", number, "decisions"))
            candidates[number] = seq, Candidate(number, self._architecture(number, text), origin, chosen)
        rows = []
        for seq, number, status, metrics, reason, seconds, worker, fidelity, probes in told:
            if number not in candidates:
                raise self._damaged(f"candidate {number} is in table told and not in table asked")
            if status not in [str(known) for known in Status]:
                raise self._damaged(f"table told, candidate {number}: status is {status!r}")
            values = self._json(metrics, "told", number, "metrics")
            found = self._blocks(probes, number)
            evaluation = Evaluation(candidates[number][1], Status(status), values, reason, seconds, found)
            rows.append((seq, Told(evaluation, worker, fidelity)))
        self._check_sums()
        return candidates, rows

    def _check_sums(self) -> None:
        """After what can say more precisely what is wrong."""
        if not self._checked:
            try:
                files.check_sums(self.file, self._connection)
            except (sqlite3.DatabaseError, UnicodeError) as error:
                raise files.unread(self.file, error) from error
            self._checked = True

    def _climbs(self, asked: dict[int, tuple[int, Candidate]]) -> list[tuple[int, Climb]]:
        if not self._has_climbs:
            return []
        rows = self._rows("SELECT seq, number, rung, metrics, costs, goes_on, seconds FROM climbs ORDER BY seq")
        found = []
        for seq, number, rung, metrics, costs, goes_on, seconds in rows:
            if number not in asked:
                raise self._damaged(f"candidate {number} is in table climbs and not in table asked")
            values = (self._json(metrics, "climbs", number, "metrics"), self._json(costs, "climbs", number, "costs"))
            found.append((seq, Climb(asked[number][1], rung, *values, bool(goes_on), seconds)))
        return found

    def _architecture(self, number: int, text: str) -> Architecture:
        data = self._json(text, "asked", number, "architecture")
        try:
            return Architecture.from_dict(data)
        except GasError as error:
            raise self._damaged(f"table asked, candidate {number}: architecture: {error}") from error

    def _blocks(self, text: str, number: int) -> tuple[dict[str, float], ...]:
        return tuple(self._json(text, "told", number, "probes", list)) if text else ()

    def _json(self, text: str, table: str, number: int, column: str, kind: type = dict) -> Any:
        try:
            value = json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise self._damaged(f"table {table}, candidate {number}: {column} is no JSON: {error}") from error
        if not isinstance(value, kind) or (kind is list and not all(isinstance(v, dict) for v in value)):
            raise self._damaged(f"table {table}, candidate {number}: {column} is no {WORDS[kind]}")
        return value

    def _rows(self, query: str, *values: Any) -> list[tuple]:
        try:
            return self._connection.execute(query, values).fetchall()
        except (sqlite3.DatabaseError, UnicodeError) as error:
            raise files.unread(self.file, error) from error

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[None]:
        """All that is read within is of one moment."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            if files.in_transaction(self._connection):
                self._connection.execute("ROLLBACK")

    def _write(self, kind: str, write: Callable[[int], None]) -> None:
        files.write_event(self.file, self._connection, kind, write)

    def _damaged(self, how: str) -> RunError:
        return files.damaged(self.file, how)


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples, as a space's choices are."""
    if isinstance(value, list):
        return tuple(_tuples(v) for v in value)
    return {k: _tuples(v) for k, v in value.items()} if isinstance(value, dict) else value
