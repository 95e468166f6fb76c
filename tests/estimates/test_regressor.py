"""The Gaussian process: against scikit-learn's, against the definition, and on made-up families."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

from gas.estimates.regressor import FLAGS, FREE, LEVEL, MEANS, Regressor, flags, inputs

STRENGTHS = np.log([0.4, 0.6, 1.3, 0.25, 0.2])


def made_up(families: int = 12, each: int = 4, *, seed: int = 0, offset: float = 0.2):
    """Linear (n, 2), smooth (n, 3), names, and top-1 with an offset per family."""
    rng = np.random.default_rng(seed)
    names = [f"f{index}" for index in range(families) for _ in range(each)]
    smooth = rng.normal(size=(len(names), 3))
    linear = smooth[:, :2].copy()
    own = np.repeat(rng.normal(size=families) * offset, each)
    log_error = 3 - 0.3 * linear[:, 0] + 0.1 * np.sin(smooth[:, 2]) + own + rng.normal(size=len(names)) * 0.05
    return linear, smooth, names, 100 - np.exp(log_error)


def test_it_is_the_process_of_scikit_learn() -> None:
    _, smooth, names, top1 = made_up(each=1, families=30)
    fit = Regressor(smooth, smooth, names, top1, strengths=STRENGTHS, logarithm=False)
    fit.factor = 1.0
    asked = smooth[:5] + 0.3
    found = fit.predict(asked, asked)

    s_linear, s_smooth, length, family, noise = np.exp(2 * STRENGTHS)
    fixed = {"constant_value_bounds": "fixed"}
    straight = ConstantKernel(s_linear, **fixed) * DotProduct(0.0, "fixed")
    curved = ConstantKernel(s_smooth, **fixed) * RBF(np.sqrt(3 * length), "fixed")
    # Where every network is of a family of its own, offsets are noise.
    kernel = straight + curved + ConstantKernel(FREE, **fixed) + WhiteKernel(family + noise, "fixed")
    z, target = (smooth - smooth.mean(0)) / smooth.std(0), (top1 - top1.mean()) / top1.std()
    process = GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-12).fit(z, target)
    mean, deviation = process.predict((asked - smooth.mean(0)) / smooth.std(0), return_std=True)
    assert found.top1 == pytest.approx(mean * top1.std() + top1.mean())
    assert found.high - found.top1 == pytest.approx(deviation * top1.std())
    assert found.top1 - found.low == pytest.approx(deviation * top1.std())


def test_what_is_left_out_is_predicted_from_the_rest() -> None:
    linear, smooth, names, top1 = made_up()
    fit = Regressor(linear, smooth, names, top1, strengths=STRENGTHS)
    found = fit.left_out()
    whole, target = fit._covariance(STRENGTHS), -np.log(100 - top1)
    standard = (target - target.mean()) / target.std()
    for family in dict.fromkeys(names):
        own = np.array([name == family for name in names])
        rest = np.linalg.inv(whole[np.ix_(~own, ~own)])
        mean = whole[np.ix_(own, ~own)] @ rest @ standard[~own]
        spread = np.sqrt(np.diag(whole[np.ix_(own, own)] - whole[np.ix_(own, ~own)] @ rest @ whole[np.ix_(~own, own)]))
        out = [100 - np.exp(-(m * target.std() + target.mean())) for m in (mean, mean - fit.factor * spread)]
        assert found.top1[own] == pytest.approx(out[0])
        assert found.low[own] == pytest.approx(out[1])


def test_the_slope_of_the_likelihood() -> None:
    linear, smooth, names, top1 = made_up()
    fit = Regressor(linear, smooth, names, top1, strengths=STRENGTHS)
    for strengths in (STRENGTHS, MEANS, MEANS + 0.5):
        assert check_grad(lambda s: fit._unlikely(s)[0], lambda s: fit._unlikely(s)[1], strengths) < 1e-3


def test_fitted_strengths_are_likelier_than_what_was_expected() -> None:
    linear, smooth, names, top1 = made_up()
    fit = Regressor(linear, smooth, names, top1)
    assert fit._unlikely(fit.strengths)[0] < fit._unlikely(MEANS)[0]
    again = Regressor(linear, smooth, names, top1)
    assert np.array_equal(fit.strengths, again.strengths)


def test_intervals_hold_new_families() -> None:
    linear, smooth, names, top1 = made_up(60, 4, offset=0.1)
    first = np.arange(len(names)) < 120
    fit = Regressor(linear[first], smooth[first], names[:120], top1[first])
    found = fit.predict(linear[~first], smooth[~first])
    inside = (found.low <= top1[~first]) & (top1[~first] <= found.high)
    assert 0.8 < inside.mean() < 0.98
    assert np.abs(found.top1 - top1[~first]).mean() < np.abs(top1[~first] - top1[first].mean()).mean() / 1.3


def test_an_interval_grows_with_the_families_offsets_and_far_off() -> None:
    widths = []
    for offset in (0.02, 0.3):
        linear, smooth, names, top1 = made_up(30, offset=offset)
        fit = Regressor(linear, smooth, names, top1)
        near, far = (fit.predict(linear[:1] - step, smooth[:1] - step) for step in (0, 9))
        widths.append(float((near.high - near.low)[0]))
        assert (far.high - far.low)[0] > widths[-1]
    assert widths[1] > 2 * widths[0]


def test_the_factor_counts_families_not_networks() -> None:
    linear, smooth, names, top1 = made_up(9, 1)
    fit = Regressor(linear, smooth, names, top1, strengths=STRENGTHS)
    assert fit._calibrated(np.arange(9.0)) == 8  # 9 of 9 families and the unseen one make 0.9
    fit.families = ["a"] * 8 + ["b"]
    assert fit._calibrated(np.array([*range(8), 0.5])) == 7
    assert LEVEL == 0.9


def test_a_recipe_that_no_network_has_widens_little() -> None:
    linear, smooth, names, top1 = made_up()
    linear = np.hstack([linear, np.zeros((len(names), 1))])
    fit = Regressor(linear, smooth, names, top1)
    asked = linear[:1].copy()
    asked[0, -1] = 1.0
    plain, other = fit.predict(linear[:1], smooth[:1]), fit.predict(asked, smooth[:1])
    assert (plain.high - plain.low)[0] < (other.high - other.low)[0] < 4 * (plain.high - plain.low)[0]


def test_distances_are_root_mean_squares() -> None:
    linear, smooth, names, top1 = made_up(4, 3)
    fit = Regressor(linear, smooth, names, top1, strengths=STRENGTHS)
    z = (smooth - smooth.mean(0)) / smooth.std(0)
    wanted = np.sqrt(((z[:, None] - z[None]) ** 2).mean(-1))
    assert fit.distances(smooth) == pytest.approx(wanted)
    apart = fit.distances(smooth, families=names)
    kin = np.array(names)[:, None] == np.array(names)
    assert np.isinf(apart[kin]).all()
    assert apart[~kin] == pytest.approx(wanted[~kin])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_units_do_not_matter(seed: int, scale: float) -> None:
    linear, smooth, names, top1 = made_up(seed=seed, families=6)
    plain = Regressor(linear, smooth, names, top1, strengths=STRENGTHS).predict(linear, smooth)
    # Far above the floors of what counts as one step.
    scaled = Regressor(10 * linear, 10 * scale * smooth + 3, names, top1, strengths=STRENGTHS)
    assert scaled.predict(10 * linear, 10 * scale * smooth + 3).top1 == pytest.approx(plain.top1)


def test_inputs_are_logarithms_shares_and_mean_strides() -> None:
    one = {"macs": 1e9, "attention": 0.25, "macs_4": 0.5, "macs_8": 0.0, "macs_16": 0.25, "macs_32": 0.25}
    found = inputs([one], ("macs", "attention", "macs_stride"))
    assert found == pytest.approx(np.array([[np.log(1e9), 0.25, 0.5 * 2 + 0.25 * 4 + 0.25 * 5]]))
    assert inputs([one], ()).shape == (1, 0)


def test_recipes_share_what_is_stronger() -> None:
    assert list(FLAGS) == ["stronger", "distilled", "long", "pretrained"]
    assert flags(["plain", "distilled", "long", "pretrained"]).tolist() == [
        [0, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 0, 1, 0],
        [1, 0, 0, 1],
    ]
