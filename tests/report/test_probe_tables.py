"""Probes in print: what blocks come to by stage, worked out by hand."""

from __future__ import annotations

import io

import pytest

from gas.exports.rows import probe_rows
from gas.plan import plan
from gas.probes import probe
from gas.report.probes import SHORT, show_probes, stage_rows
from gas.space import load


def row(stage: int, block: str = "0", **readings: float) -> dict:
    return {"block": block, "stage": stage, "path": "p", **readings}


ROWS = [
    row(0, saliency=0.5, macs_share=0.2, similarity=0.9),
    row(1, "", macs_share=0.1),
    row(1, "1", saliency=0.1, macs_share=0.2, similarity=0.5, entropy=0.8),
    row(1, "2", saliency=0.1, macs_share=0.2, similarity=0.7),
    row(2, "3", saliency=0.3, macs_share=0.3),
]


def test_shares_add_up_and_other_readings_are_means() -> None:
    first, second, third = stage_rows(ROWS)
    assert (first["blocks"], second["blocks"], third["blocks"]) == (1, 2, 1)
    assert second["saliency"] == pytest.approx(0.2)
    assert second["macs_share"] == pytest.approx(0.5)
    assert second["similarity"] == pytest.approx(0.6)
    assert second["entropy"] == pytest.approx(0.8)
    assert third["similarity"] is None
    assert [r["per_macs"] for r in (first, second, third)] == pytest.approx([2.5, 0.4, 1.0])
    assert [r["verdict"] for r in (first, second, third)] == ["short", "wasted", ""]
    assert "per_latency" not in first


def test_latency_decides_where_it_is_known() -> None:
    shares = (0.2, 0.1, 0.05, 0.0, 0.65)
    rows = [r | {"latency_share": share} for r, share in zip(ROWS, shares, strict=True)]
    stages = stage_rows(rows)
    assert [r["per_latency"] for r in stages] == pytest.approx([2.5, 0.2 / 0.15, 0.3 / 0.65])
    assert [r["verdict"] for r in stages] == ["short", "", "wasted"]


@pytest.mark.parametrize(("times", "verdict"), [(SHORT, "short"), (1.4, ""), (0.7, ""), (0.5, "wasted")])
def test_the_rule_is_the_one_that_is_printed(times: float, verdict: str) -> None:
    (stage,) = stage_rows([row(0, saliency=0.25 * times, macs_share=0.25)])
    assert stage["verdict"] == verdict


def test_a_stage_without_saliency_has_no_verdict() -> None:
    stages = stage_rows([row(0, macs_share=0.5), row(1, saliency=1.0, macs_share=0.5)])
    assert stages[0]["per_macs"] is None
    assert "verdict" not in stages[0]


def test_a_row_for_every_block_and_entry() -> None:
    design = load("efficientvit_m0")
    readings = probe(design, names=("macs_share", "saliency"))
    rows = probe_rows(design, readings)
    blocks = plan(design).blocks
    assert [r["path"] for r in rows] == [placed.path for placed in blocks]
    entries = [placed.pattern.kind == "entry" for placed in blocks]
    assert sum(entries) == 2
    assert [r["block"] == "" for r in rows] == entries
    assert [int(r["block"]) for r in rows if r["block"]] == list(range(len(blocks) - 2))
    assert [r["macs_share"] for r in rows] == [r["macs_share"] for r in readings]
    with pytest.raises(ValueError, match="shorter"):
        probe_rows(design, readings[:-1])


def test_what_is_printed_says_what_it_means() -> None:
    out = io.StringIO()
    show_probes([(load("efficientvit_m0"), None)], stream=out)
    text = out.getvalue()
    for part in ("share of macs", "effective rank", "saliency: how far", "entropy: of attention", "By stage", "short:"):
        assert part in text
    assert "latency" not in text
