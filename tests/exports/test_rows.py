import pytest
from export_designs import hierarchical, random_designs, tiny, turbovit

from gas.architecture import Spec
from gas.errors import SettingError
from gas.exports.expression import Verbatim, node
from gas.exports.facts import fact_lines, human
from gas.exports.rows import design_rows
from gas.patterns.base import Part
from gas.patterns.mlp import Mlp
from gas.plan import plan


@pytest.mark.parametrize("design", [turbovit(), *random_designs(6, seed=4)], ids=lambda d: d.name)
def test_rows_add_up_to_the_design(design):
    rows, cost = design_rows(design), plan(design).cost
    assert sum(row["params"] for row in rows) == cost.params
    assert sum(row["macs"] for row in rows) == cost.macs
    assert sum(row["macs_share"] for row in rows) == pytest.approx(1)
    assert sum(row["count"] for row in rows) == sum(design.depths) + 2


def test_runs_of_equal_blocks_are_one_row():
    rows = design_rows(turbovit())
    assert [row["block"] for row in rows] == ["", "0", "1", "2", "3", "4-10", "11", "12", ""]
    # The per-block counts of the published table.
    assert [row["params"] for row in rows[1:6]] == [62_400, 181_888, 198_272, 724_224, 7 * 789_760]


def test_the_first_block_of_a_design_is_equal_to_the_second_where_only_the_past_differs():
    mixers = (Spec.of("mask_unit_attention", heads=1, mask_unit=4),)
    rows = design_rows(hierarchical("flat", 16, (16,), (3,), mixers, resolution=32, stride=2))
    assert [row["block"] for row in rows] == ["", "0-2", ""]


def test_the_lag_and_the_pooling_are_seen():
    options = [row["options"] for row in design_rows(tiny())]
    assert options[2] == "mask unit attention (2 heads of 16, mask unit 4), mlp (ratio 4), Q-pool 2 x 2, lag"
    assert options[3] == "global attention (2 heads of 16), mlp (ratio 4)"
    assert design_rows(tiny(lag=False))[2]["options"] == (
        "global attention (2 heads of 16), mlp (ratio 4), Q-pool 2 x 2"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (312, "312"),
        (999.4, "999.4"),
        (1000, "1.00 k"),
        (62_400, "62.40 k"),
        (789_760, "789.8 k"),
        (999_949, "999.9 k"),
        (999_951, "1.00 M"),
        (12_660_000, "12.66 M"),
        (99_996_000, "100.0 M"),
        (2_246_000_000, "2.25 G"),
        (-2_500, "-2.50 k"),
    ],
)
def test_counts_for_people(value, expected):
    assert human(value) == expected


def test_facts_keep_their_units_and_their_order():
    latency = {"target": "t", "batch": 2, "threads": 1, "median_ms": 10.0, "q1_ms": 9.5, "q3_ms": 10.5}
    lines = fact_lines({"made_on": "x", "latency": [latency, {**latency, "ratio": 0.5, "against": "hiera_t"}]})
    assert lines[0] == (
        "Latency",
        "10 ms per batch (measured, quartiles 9.5 to 10.5; target t, batch 2, threads 1)",
    )
    assert lines[1][1].endswith("; 0.500 times hiera_t")
    assert lines[2] == ("Made on", "x")


def test_an_estimate_is_told_with_its_interval_and_is_no_proxy():
    scores = {"blend": 1.5, "estimate": 81.234, "estimate_low": 79.0, "estimate_high": 83.5}
    assert fact_lines({"proxies": scores, "fidelity": "f"}) == [
        ("Estimate", "estimate 81.23 (an estimate, 90% interval 79 to 83.5)"),
        ("Proxy", "blend 1.5 (a proxy, fidelity f)"),
    ]


def test_a_latency_without_its_target_is_refused():
    with pytest.raises(SettingError, match="target"):
        fact_lines({"latency": {"batch": 1, "threads": 1, "median_ms": 3.0}})


def test_expressions_evaluate_to_what_they_were_written_from():
    value = {"a": [1, (2,), (3, "it's"), 'say "x"'], "b": {"c": None, "d": 1.5}}
    assert eval(node(value).flat) == value
    deep = {"key": [list(range(30)), list(range(30)), {"inner": list(range(60))}]}
    text = node(deep).text(4)
    assert "\n" in text
    assert max(map(len, text.splitlines())) <= 120
    assert eval(text) == deep


def test_only_equal_neighbours_are_folded():
    part, other = Part.of(Mlp, dim=4, hidden=8), Part.of(Mlp, dim=4, hidden=16)
    assert node([part, part, other]).flat == "[*[Mlp(dim=4, hidden=8) for _ in range(2)], Mlp(dim=4, hidden=16)]"
    assert node([1, 1, Verbatim("n")]).flat == "[1, 1, n]"
