"""Conditions on designs, against pandas' own queries and three-valued logic written out."""

from __future__ import annotations

import itertools

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gas.choosing import Columns, Condition
from gas.errors import RunError, SettingError
from gas.evaluation import Objective

MIXER = "stages[0].blocks[0].mixer"
HEAD = f"{MIXER}(global_attention).head_dim"


def frame() -> pd.DataFrame:
    """Six designs; the latency of one, and the head of those without it, is not known."""
    table = pd.DataFrame(
        {
            "id": pd.Series(list("abcdef"), dtype="str"),
            "number": range(6),
            "macs": pd.array([1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000, 6_000_000], dtype="Int64"),
            "memory_mib": [1.0, 2.0, 3.0, 4.0, 5.0, 2048.0],
            "latency_ms_predicted": [1.0, 2.0, float("nan"), 4.0, 5.0, 6.0],
            "blend": [0.1, 0.5, 0.2, 0.4, 0.3, 0.6],
            "blend_accuracy": [0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
            MIXER: pd.Series(["global_attention", "mask", "mask", "global_attention", "mask", "mask"], dtype="str"),
            HEAD: pd.array([32, None, None, 48, None, None], dtype="Int64"),
            "wide": pd.array([True, False, None, True, False, None], dtype="boolean"),
        }
    )
    table.attrs["decisions"] = [MIXER, HEAD, "wide"]
    return table


def columns(table: pd.DataFrame | None = None) -> Columns:
    words = {"proxy": "blend", "latency": "latency_ms", "memory": "memory_mib"}
    return Columns(frame() if table is None else table, words, (Objective("blend", maximise=True), Objective("macs")))


def kept(text: str) -> str:
    return "".join(Condition(text, columns()).kept(frame())["id"])


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("macs < 3e6", "ab"),
        ("macs <= 3M and blend >= .2", "bc"),
        ("macs < 0.003G", "ab"),
        ("macs<3000k", "ab"),
        ("2M <= macs < 4M", "bc"),
        ("memory <= 4MiB", "abcd"),
        ("memory_mib >= 2GiB", "f"),
        ("latency_ms < 4.5ms", "abd"),
        ("latency<4.5", "abd"),
        ("not latency < 4.5", "ef"),
        ("latency != 1", "bdef"),
        ("accuracy > 0.65 and proxy > 0.15", "bc"),
        (f"{MIXER} == 'mask'", "bcef"),
        (f'{MIXER} != "mask" or macs == 6M', "adf"),
        (f"`{HEAD}` == 48", "d"),
        (f"{HEAD} in (32, 64) or number in [5]", "af"),
        (f"{HEAD} not in (32, 64)", "d"),
        ("stages.0.blocks.0.mixer in ('mask',)", "bcef"),
        ("wide", "ad"),
        ("not wide", "be"),
        ("wide or macs > 5M", "adf"),
        ("macs / 1M + max(number, 1) > 2 * number + 1 and id in ('a', 'b')", "a"),
        ("abs(blend - 0.5) < 0.15 and log10(macs) > 6.5", "df"),
        ("macs ** 0.5 < 1500 and -blend < -0.2", "b"),
        ("id == '10ms and <'  or id == 'a'", "a"),
        ("  macs\n < 3M ", "ab"),
    ],
)
def test_a_condition_keeps_what_it_says(text: str, ids: str) -> None:
    assert kept(text) == ids


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "where: got an empty text; expected a condition such as"),
        ("macs <", r"where: got 'macs <', which cannot be read at its end"),
        ("macs < < 3 and blend > 1", r"cannot be read at character 8, '< 3 and blend > 1'"),
        (f"{MIXER} == 'mask' and (blend > 1", r"cannot be read at character \d+"),
        ("mcs < 3", r"where: got 'mcs'; expected one of id, .* or one of 3 decisions; did you mean 'macs'\?"),
        ("top1 < 3", r"got 'top1'; expected .*; did you mean 'proxy', the score that led the search \(blend\)\?"),
        ("acuracy_blend < 3", r"where: got 'acuracy_blend'"),
        ("id == a", r"got 'a'; expected .*; did you mean the text 'a', in quotes\?"),
        ("macs", "which is 1000000; expected a comparison"),
        ("macs and wide", "got 1000000; expected a comparison"),
        ("macs < 'mask'", r"got 1000000 beside 'mask'; expected numbers, or texts"),
        (f"{MIXER} == 3", r"got 'global_attention' beside 3; expected numbers, or texts"),
        ("id + 1 > 2", r"got the text 'a'; expected a number"),
        ("id in 3", r"got 3 behind `in`; expected a list"),
        ("macs < 10ms", r"got 'macs < 10ms'; expected a latency beside a number with ms"),
        ("latency_ms < 3 and macs < 2MiB", r"got 'macs < 2MiB'; expected a memory"),
        ("macs < 10X", r"got '10X'; expected a number with one of k, M, G, ms, MiB, GiB, or none"),
        ("macs / (number - 0) > 0", r"division by zero"),
        ("__import__('os').system('x')", "where: got"),
        ("open('x') == 1", "got the function 'open'; expected one of abs, log10, max, min"),
        ("[x for x in macs]", "where: got"),
        ("macs is 3", r"this comparison is not allowed"),
        ("macs == True < 3 if wide else macs", "where: got"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(text: str, message: str) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        kept(text)
    assert "_c0_" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_condition_that_leaves_nothing_says_what_each_part_leaves() -> None:
    with pytest.raises(RunError) as caught:
        kept("latency_ms < 3 and (macs > 5M or blend > 0.55) and not wide")
    assert str(caught.value) == (
        "where: got 'latency_ms < 3 and (macs > 5M or blend > 0.55) and not wide', which leaves none of 6 designs; "
        "'latency_ms < 3' leaves 2 (1 not known); 'macs > 5M or blend > 0.55' leaves 1; "
        "'not wide' leaves 2 (2 not known)"
    )
    with pytest.raises(RunError, match=r"which leaves none of 6 designs \(1 not known\)$"):
        kept("latency_ms < 1")


def test_what_a_name_stood_for_and_what_was_not_known_is_told() -> None:
    condition = Condition("latency_ms < 3 and macs > 0", columns())
    assert condition.notes(frame()) == [
        "latency_ms means latency_ms_predicted",
        "1 of 6 designs left out: not known of them is latency_ms_predicted",
    ]
    assert Condition("macs > 0", columns()).notes(frame()) == []


def test_a_name_that_several_columns_bear_is_refused() -> None:
    table = frame().assign(short_training_accuracy=0.5)
    with pytest.raises(SettingError, match="got 'accuracy'; expected one of blend_accuracy, short_training_accuracy"):
        Condition("accuracy > 0", columns(table))


def test_the_better_end_of_a_column() -> None:
    of = columns()
    assert [of.descending(name) for name in ("blend", "blend_accuracy")] == [True, True]
    assert [of.descending(n) for n in ("macs", "latency_ms_predicted", "memory_mib", "id", "number", MIXER, HEAD)] == [
        False
    ] * 7
    turned = Columns(frame(), {}, (Objective("macs", maximise=True),))
    assert turned.descending("macs")


# Kleene's tables, written out: T, F and unknown.
AND = {(True, None): None, (False, None): False, (None, None): None}
OR = {(True, None): True, (False, None): None, (None, None): None}


def test_what_is_not_known_is_neither_true_nor_false() -> None:
    for left, right in itertools.product((True, False, None), repeat=2):
        table = pd.DataFrame({"a": pd.array([left], dtype="boolean"), "b": pd.array([right], dtype="boolean")})
        of = Columns(table, {})
        for word, unknown, plain in (("and", AND, all), ("or", OR, any)):
            key = (left, right) if (left, right) in unknown else (right, left)
            expected = unknown.get(key, None if None in (left, right) else plain((left, right)))
            condition = Condition(f"a {word} b", of)
            assert condition._worked_out(condition._read, table) == [expected]
            turned = Condition(f"not (a {word} b)", of)
            assert turned._worked_out(turned._read, table) == [None if expected is None else not expected]


ATOMS = st.sampled_from(
    ["macs < 3000000", "blend >= 0.3", "latency_ms_predicted > 2", "number in (1, 2, 5)", "memory_mib <= 3", "wide"]
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=8,
)


@settings(max_examples=40)
@given(CONDITIONS)
def test_a_condition_agrees_with_pandas_nullable_logic(text: str) -> None:
    """Pandas' nullable columns know three values too: `and`, `or`, `not` are its &, |, ~."""
    table = frame()
    for name in ("blend", "latency_ms_predicted", "memory_mib"):
        table[name] = table[name].astype("Float64")
    names = {name: table[name] for name in ("macs", "blend", "latency_ms_predicted", "number", "memory_mib", "wide")}
    code = text
    for name in names:
        for comparison in (f"{name} < 3000000", f"{name} >= 0.3", f"{name} > 2", f"{name} <= 3"):
            code = code.replace(comparison, f"({comparison})")
    code = code.replace("number in (1, 2, 5)", "number.isin([1, 2, 5]).astype('boolean')")
    code = code.replace(" and ", " & ").replace(" or ", " | ").replace("not (", "~(")
    expected = eval(code, {"__builtins__": {}}, names)
    wanted = "".join(table.loc[expected.fillna(False).astype(bool), "id"])
    try:
        assert kept(text) == wanted
    except RunError:
        assert wanted == ""
