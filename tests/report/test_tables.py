import csv
import io
import json

import numpy as np
import pandas as pd
import pytest

from gas.errors import SettingError
from gas.report.tables import MACS_NOTE, Column, columns_of, plain, show, to_csv, to_json, to_text

ROWS = [
    {"name": "TurboViT", "params": 13_567_016, "macs": 2_473_135_104, "latency_ms": 31.234, "short_training": 0.61234},
    {"name": "a [red]b", "params": 62_400, "macs": 123, "latency_ms": None, "short_training": float("nan")},
]


class Terminal(io.StringIO):
    """A stream that takes itself for a terminal."""

    def isatty(self):
        return True


def test_text_is_aligned_and_for_people():
    assert to_text(ROWS, title="Designs").splitlines() == [
        "Designs",
        "name       params    macs  latency (ms)  short training",
        "--------  -------  ------  ------------  --------------",
        "TurboViT  13.57 M  2.47 G         31.23          0.6123",
        "a [red]b  62.40 k     123",
        MACS_NOTE,
    ]


def test_the_note_on_macs_is_said_once_and_only_where_needed():
    assert to_text(ROWS, ["name", "macs", "macs_share"], notes=[MACS_NOTE]).count("multiply-adds") == 1
    assert "multiply-adds" not in to_text(ROWS, ["name", "params"])


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_what_is_piped_has_no_escape_codes(stream):
    out = stream()
    show([*ROWS, {"name": "bad\x1b[31m\nname"}], stream=out)
    text = out.getvalue()
    assert ("\x1b" in text) == (stream is Terminal)
    assert "\x1b[31m" not in text  # what a name holds is never an order to the terminal
    assert "a [red]b" in text
    assert "13.57 M" in text
    assert MACS_NOTE in text


def test_csv_holds_everything_at_full_precision():
    back = list(csv.DictReader(io.StringIO(to_csv(ROWS))))
    assert back[0]["macs"] == "2473135104"
    assert float(back[0]["short_training"]) == 0.61234
    assert back[1]["latency_ms"] == back[1]["short_training"] == ""
    assert list(back[0]) == list(ROWS[0])


def test_json_holds_everything_at_full_precision():
    value = 0.1 + 0.2
    rows = pd.DataFrame(
        {
            "id": ["a", "b"],
            "macs": pd.array([3, None], dtype="Int64"),
            "score": np.array([value, np.nan]),
            "ok": [True, False],
        }
    )
    assert json.loads(to_json(rows)) == [
        {"id": "a", "macs": 3, "score": value, "ok": True},
        {"id": "b", "macs": None, "score": None, "ok": False},
    ]


def test_values_become_plain():
    given = {"a": np.float32(0.5), "b": [np.int64(3), pd.NA], "c": float("inf"), "d": (1, 2), "e": np.bool_(True)}
    found = plain(given)
    assert found == {"a": 0.5, "b": [3, None], "c": "inf", "d": [1, 2], "e": True}
    assert json.loads(json.dumps(found)) == found


def test_no_rows_give_headings_and_an_empty_list():
    assert to_text([], ["name", "params"]).splitlines() == ["name  params", "----  ------"]
    assert json.loads(to_json([])) == []
    assert to_csv([]) == ""


def test_an_unknown_form_is_refused():
    with pytest.raises(SettingError, match="did you mean 'json'"):
        show(ROWS, how="jsn")


@pytest.mark.parametrize(
    ("key", "heading", "value", "cell"),
    [
        ("latency_ms_predicted", "latency, predicted (ms)", 6.2999, "6.30"),
        ("latency_ms_q1", "latency q1 (ms)", 123.46, "123.5"),
        ("latency_ratio", "latency ratio", 0.3114, "0.31"),
        ("macs_share", "share of macs", 0.4919, "49.2%"),
        ("stages[0].dim", "stages[0].dim", 64, "64"),
        ("short_training", "short training", 0.123456, "0.1235"),
        ("lag", "lag", True, "True"),
    ],
)
def test_headings_have_units_and_cells_few_digits(key, heading, value, cell):
    column = Column.of(key)
    assert column.heading == heading
    assert column.cell(value) == cell


def test_columns_keep_their_order():
    assert [c.key for c in columns_of([{"b": 1}, {"a": 2, "b": 3}])] == ["b", "a"]
    assert columns_of(ROWS, [Column("x", "X")]) == [Column("x", "X")]
