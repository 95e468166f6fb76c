from __future__ import annotations

import math

import numpy as np
import pytest
from torch import nn

from gas.costs import predictor
from gas.costs.pieces import Piece
from gas.costs.predictor import COVERAGE, LEAST, STRENGTHS, Correction, fit
from gas.patterns import Cost, Part

KINDS = ("attention", "mlp", "stem")


def pool(seed: int, n: int = 60) -> list[tuple[Piece, float]]:
    """Pieces of three kinds with times that their parameters do not tell."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        cost, shape = Cost(0, int(rng.integers(1_000, 400_000))), (int(rng.integers(49, 3136)), 64)
        made.append((Piece(f"{i}", KINDS[i % 3], Part(nn.Identity), shape, cost), float(rng.uniform(0.2, 4.0))))
    return made


def drawn(pieces: list[tuple[Piece, float]], n: int, seed: int) -> list[list[tuple[Piece, float]]]:
    rng = np.random.default_rng(seed)
    return [[pieces[i] for i in rng.integers(len(pieces), size=rng.integers(8, 40))] for _ in range(n)]


TRUE = Correction(1.1, {"attention": 0.3, "mlp": -0.2, "stem": 0.0}, pieces=0.05, params=2e-7, inputs=1e-7)


def told(design: list[tuple[Piece, float]], correction: Correction) -> float:
    return sum(correction(piece, ms) for piece, ms in design)


def test_a_correction_that_is_linear_is_found() -> None:
    pieces = pool(0)
    designs = drawn(pieces, 64, seed=1)
    learned = fit(designs, [told(design, TRUE) for design in designs]).correction
    others = drawn(pieces, 200, seed=2)
    errors = [told(design, learned) / told(design, TRUE) - 1 for design in others]
    plain = [sum(ms for _, ms in design) / told(design, TRUE) - 1 for design in others]
    assert np.abs(errors).max() < 2e-3
    assert np.median(np.abs(plain)) > 0.1
    assert 0.995 < learned.low <= learned.high < 1.005


def test_where_the_sum_is_right_but_for_noise_the_correction_is_small() -> None:
    rng = np.random.default_rng(3)
    designs = drawn(pool(0), 64, seed=1)
    learned = fit(designs, [sum(ms for _, ms in d) * rng.normal(1, 0.03) for d in designs])
    assert learned.correction.scale == pytest.approx(1.0, abs=0.03)
    assert all(abs(more) < 0.05 for more in learned.correction.kinds.values())
    assert learned.sums == pytest.approx([sum(ms for _, ms in d) for d in designs])


def test_the_ridge_is_least_squares_with_the_weights_as_further_rows() -> None:
    rng = np.random.default_rng(4)
    columns, ratios, strength = rng.normal(size=(20, 6)), rng.normal(size=20), 0.7
    scale, weights = predictor._ridge(columns, ratios, strength)
    rows = np.block([[np.ones((20, 1)), columns], [np.zeros((6, 1)), math.sqrt(strength) * np.eye(6)]])
    wanted = np.linalg.lstsq(rows, np.r_[ratios, np.zeros(6)])[0]
    assert np.r_[scale, weights] == pytest.approx(wanted)


def test_what_is_told_of_a_design_was_learned_without_it() -> None:
    rng = np.random.default_rng(5)
    designs = drawn(pool(0), 24, seed=1)
    measured = [told(d, TRUE) * rng.normal(1, 0.05) for d in designs]
    wild = [*measured[:-1], 50 * measured[-1]]
    honest, fooled = fit(designs, measured), fit(designs, wild)
    assert honest.correction.strength in STRENGTHS
    # The last one's own value has no say in what is told of it, whatever strength is chosen.
    columns = np.random.default_rng(6).normal(size=(24, 4)) + 5
    for strength in (0.01, 10.0):
        tame = predictor._left_out(columns, np.array(measured), strength)
        assert predictor._left_out(columns, np.array(wild), strength)[-1] == pytest.approx(tame[-1])
    assert fooled.correction.high > 10 * honest.correction.high


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    for n in (24, 64, 200):
        inside = []
        for _ in range(400):
            low, high = predictor._interval(rng.lognormal(0, 0.1, size=n))
            inside.append(low <= rng.lognormal(0, 0.1) <= high)
        assert np.mean(inside) >= COVERAGE - 0.03
        assert np.mean(inside) <= 0.97 if n > 24 else True
    assert predictor._interval(np.array([3.0, 1.0, 2.0])) == (1.0, 3.0)  # too few: the outermost


def test_no_piece_is_told_as_nothing() -> None:
    piece, ms = pool(0)[0]
    assert Correction(scale=-3.0)(piece, ms) == LEAST * ms
    assert Correction()(piece, ms) == ms
    assert Correction(low=0.9, high=1.2).interval(10.0) == predictor.Prediction(10.0, 9.0, 12.0)


def test_a_correction_goes_to_plain_data_and_back() -> None:
    assert Correction(**TRUE.to_dict()) == TRUE
