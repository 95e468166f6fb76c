"""Performance functions: against Python's own arithmetic, NetScore by hand, and what cannot be read."""

from __future__ import annotations

import math
import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gas.errors import SettingError
from gas.space import load, load_space
from gas.utility import LANGUAGE, NAMED, Utility, read_utility

SAID = {"macs": "macs", "params": "params", "latency": "latency_ms_predicted", "proxy": "blend"}
SAID |= {"accuracy": "blend_accuracy"}
WORDS = SAID | {recorded: recorded for recorded in SAID.values()}


class Real(float):
    """A number whose arithmetic raises where no finite real number comes out."""


def _real(name: str) -> None:
    def apply(*values: float) -> Real:
        result = getattr(float, name)(*map(float, values))
        if isinstance(result, complex) or not math.isfinite(result):
            raise ArithmeticError(name)
        return Real(result)

    setattr(Real, name, apply)


for _name in ("add", "sub", "mul", "truediv", "pow"):
    _real(f"__{_name}__")
    _real(f"__r{_name}__")
for _name in ("neg", "pos", "abs"):
    _real(f"__{_name}__")


def by_python(text: str, values: dict[str, float]) -> float:
    """The value by `eval` and the math module; NaN where Python raises."""
    functions = {name: getattr(math, name) for name in ("exp", "log", "log10", "sqrt")}
    names = {name: Real(value) for name, value in values.items()}
    wrapped = re.sub(r"\d+\.\d+", r"Real(\g<0>)", text)
    try:
        return float(
            eval(wrapped, {"__builtins__": {}, "Real": Real, "min": min, "max": max, "abs": abs}, functions | names)
        )
    except (ArithmeticError, ValueError):
        return math.nan


NUMBERS = st.floats(-50, 50).map(lambda value: round(value, 3))
LEAVES = st.one_of(st.sampled_from(("a", "b", "c")), st.floats(0, 50).map(lambda value: f"{value:.3f}"))


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Only operations that IEEE 754 rounds exactly, so that both roads give the same number to the last bit."""
    return st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(st.sampled_from(("-", "+")), inner).map(lambda t: f"({t[0]}{t[1]})"),
        st.tuples(st.sampled_from(("sqrt", "abs")), inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(st.sampled_from(("min", "max")), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
    )


TREES = st.recursive(LEAVES, _grown, max_leaves=8)


def _utility(text: str) -> Utility:
    return Utility("u", text, tuple(name for name in "abc" if re.search(rf"\b{name}\b", text)))


@given(TREES, NUMBERS, NUMBERS, NUMBERS)
def test_arithmetic_is_that_of_python_to_the_last_bit(text: str, a: float, b: float, c: float) -> None:
    values = {"a": a, "b": b, "c": c}
    got, expected = float(_utility(text)(values)), by_python(text, values)
    assert got == expected or (math.isnan(got) and math.isnan(expected)), text


@given(st.sampled_from(("exp", "log", "log10", "sqrt")), TREES, NUMBERS, NUMBERS, NUMBERS)
def test_functions_are_those_of_the_math_module(name: str, tree: str, a: float, b: float, c: float) -> None:
    values = {"a": a, "b": b, "c": c}
    text = f"{name}({tree})"
    assert float(_utility(text)(values)) == pytest.approx(by_python(text, values), rel=1e-12, abs=1e-300, nan_ok=True)


@given(NUMBERS, NUMBERS)
def test_powers_are_those_of_real_numbers(a: float, b: float) -> None:
    values = {"a": a, "b": b}
    assert float(_utility("a ** b")(values)) == pytest.approx(by_python("a ** b", values), rel=1e-12, nan_ok=True)


@given(st.lists(NUMBERS, min_size=1, max_size=4), st.lists(NUMBERS, min_size=1, max_size=3), TREES)
def test_arrays_broadcast_and_each_element_is_worked_out_alone(known: list, samples: list, text: str) -> None:
    a = np.array(known)  # (N,)
    b = np.array(samples)[:, None] + 0.25 * a  # (S, N)
    utility = _utility(f"{text} + 0 * (a + b)")
    got = utility({"a": a, "b": b, "c": 2.0})
    assert got.shape == b.shape
    for (s, n), value in np.ndenumerate(got):
        alone = float(utility({"a": a[n], "b": b[s, n], "c": 2.0}))
        assert value == alone or (math.isnan(value) and math.isnan(alone))


@pytest.mark.parametrize(
    "text",
    [
        "log10(a)",
        "1 / a",
        "log(-b)",
        "sqrt(-b)",
        "(-b) ** 0.5",
        "exp(1000 * b)",
        "a / a",
        "1 / (1 / a)",
        "min(b, 1 / a)",
        "(1 / a) ** 0",
        "1 ** (1 / a)",
        "exp(-1 / a)",
        "10 ** 400 * a",
        "0 * log(a)",
    ],
)
def test_what_cannot_be_worked_out_is_nan_and_stays_so(text: str) -> None:
    assert math.isnan(Utility("u", text, ("a", "b"))({"a": 0.0, "b": 1.0}))
    assert math.isnan(by_python(re.sub(r"(?<![.\w])(\d+)(?![.\w])", r"\1.0", text), {"a": 0.0, "b": 1.0}))


def test_a_nan_among_the_metrics_stays_nan() -> None:
    for text in ("a + 1", "a ** 0", "min(a, 3)", "max(3, a)", "1 ** a", "abs(a)"):
        assert math.isnan(Utility("u", text, ("a",))({"a": math.nan})), text


def test_counts_of_parameters_are_whole_numbers_and_divide_as_such() -> None:
    utility = read_utility("macs / params - 1", WORDS)
    assert utility({"macs": 7, "params": 2}) == 2.5
    assert utility({"macs": np.array([7, 2**62]), "params": np.array([2, 1])}).tolist() == [2.5, float(2**62)]


# NetScore


def by_hand(accuracy: float, params: float, macs: float) -> float:
    """In decibels, each factor of the definition by itself."""
    return 40 * math.log10(accuracy) - 10 * math.log10(params / 1e6) - 10 * math.log10(macs / 1e9)


@given(st.floats(0.001, 1), st.integers(1_000, 10**9), st.integers(1_000, 10**12))
def test_netscore_is_the_definition(share: float, params: int, macs: int) -> None:
    netscore = read_utility("netscore", WORDS)
    assert netscore.name == "netscore"
    assert set(netscore.metrics) == {"blend_accuracy", "params", "macs"}
    metrics = {"blend_accuracy": share, "params": params, "macs": macs}
    assert float(netscore(metrics)) == pytest.approx(by_hand(100 * share, params, macs), rel=1e-12, abs=1e-9)
    assert netscore.of(metrics) == float(netscore(metrics))


@pytest.mark.parametrize(
    ("name", "score"),
    [("efficientvit_m0", 79.3), ("turbovit", 61.3), ("hiera_tiny", 55.4), ("hiera_base", 50.2)],
)
def test_netscore_collapses_towards_tiny_nets(name: str, score: float) -> None:
    """The numbers that README and the module give."""
    import gas

    top1, cost = load_space(f"zoo/{name}").published["top1"], gas.cost(load(name))
    netscore = read_utility("netscore", WORDS)
    metrics = {"blend_accuracy": top1 / 100, "params": cost.params, "macs": cost.macs}
    assert float(netscore(metrics)) == pytest.approx(score, abs=0.05)


def test_what_a_point_of_accuracy_and_half_the_size_are_worth() -> None:
    netscore = read_utility("netscore", WORDS)
    at = {"blend_accuracy": 0.8, "params": 2e7, "macs": 4e9}
    assert netscore.of(at | {"params": 1e7}) - netscore.of(at) == pytest.approx(3.01, abs=0.005)
    assert netscore.of(at | {"macs": 2e9}) - netscore.of(at) == pytest.approx(3.01, abs=0.005)
    assert netscore.of(at | {"blend_accuracy": 0.81}) - netscore.of(at) == pytest.approx(0.22, abs=0.005)


def test_netscore_may_be_part_of_a_utility() -> None:
    utility = read_utility("netscore - 0.1*latency + netscore( blend_accuracy )", WORDS)
    assert utility.name == "utility"
    assert utility.metrics == ("blend_accuracy", "params", "macs", "latency_ms_predicted")
    metrics = {"blend_accuracy": 0.5, "params": 1e6, "macs": 1e9, "latency_ms_predicted": 30.0}
    assert utility.of(metrics) == pytest.approx(2 * 40 * math.log10(50) - 3)


# Reading


@pytest.mark.parametrize(
    ("text", "name", "recorded", "metrics"),
    [
        ("proxy", "utility", "blend", ("blend",)),
        (" proxy - 0.5*log10(macs) ", "utility", "blend - 0.5*log10(macs)", ("blend", "macs")),
        ("latency_ms_predicted+latency", "utility", "latency_ms_predicted+latency_ms_predicted", None),
        ("netscore(accuracy)", "netscore", None, ("blend_accuracy", "params", "macs")),
        ("max(proxy, accuracy, 1e-3)", "utility", "max(blend, blend_accuracy, 1e-3)", ("blend", "blend_accuracy")),
    ],
)
def test_words_become_recorded_names(text: str, name: str, recorded: str | None, metrics: tuple | None) -> None:
    utility = read_utility(text, WORDS)
    assert utility.name == name
    assert recorded is None or utility.text == recorded
    assert utility.metrics == (metrics or ("latency_ms_predicted",))
    assert pickle.loads(pickle.dumps(utility)) == utility
    again = read_utility(utility.text, WORDS)  # what is recorded means the same, read once more
    assert (again.text, again.metrics) == (utility.text, utility.metrics)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("acuracy * 2", "got 'acuracy' in 'acuracy * 2'; expected one of macs, params, latency, proxy, accuracy, "),
        ("acuracy", "; did you mean 'accuracy'?"),
        ("netscor", "did you mean 'netscore'?"),
        ("netscor(proxy)", "got 'netscor'; expected a function of abs, exp, log, log10, max, min, netscore, sqrt; did"),
        ("lgo10(proxy)", "did you mean 'log10'?"),
        ("proxy.x", "got 'proxy.x' in"),
        ("proxy[0]", "got 'proxy[0]' in"),
        ("3", "got '3'; expected an expression that names a metric, such as proxy - 0.5 * log10(macs)"),
        ("", "'' is not an expression: invalid syntax; expected one such as proxy - 0.5 * log10(macs)"),
        ("proxy +", "'proxy +' is not an expression: invalid syntax; expected one such as"),
        ("proxy macs", "is not an expression"),
        ("log10(proxy, 2)", "log10 takes 1 value, not 2"),
        ("max(proxy)", "max takes 2 values or more, not 1"),
        ("exp()", "names a metric"),
        ("proxy + exp()", "exp takes 1 value, not 0"),
        ("netscore(macs)", "got 'netscore(macs)'; expected netscore(blend_accuracy), a share of images put right"),
        ("netscore(proxy)", "expected netscore(blend_accuracy), a share"),
        ("netscore(2 * macs)", "got '2 * macs' in 'netscore(2 * macs)'; expected one of"),
        ("netscore()", "got '' in 'netscore()'; expected one of"),
        ("proxy > 3", "'proxy > 3' is not allowed here; expected metrics, numbers and arithmetic"),
        ("proxy and macs", "is not allowed here"),
        ("not proxy", "is not allowed here"),
        ("[proxy]", "is not allowed here"),
        ("proxy // 2", "is not allowed here"),
        ("'proxy'", "is not allowed here"),
        ("True", "is not allowed here"),
        ("min(*macs)", "is not allowed here"),
        ("lambda: proxy", "is not allowed here"),
        ("proxy if macs else 1", "is not allowed here"),
        ("__import__('os')", "got '__import__'; expected a function of"),
        ("proxy.__class__()", "got '__class__'; expected a function of"),
        ("+".join(["proxy"] * 200), "got an expression of 1199 characters; expected at most 500"),
    ],
)
def test_what_is_no_utility_is_told_in_one_line(text: str, said: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_utility(text, WORDS)
    assert str(caught.value).startswith("utility: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_an_accuracy_there_is_no_netscore() -> None:
    words = {name: recorded for name, recorded in WORDS.items() if "accuracy" not in name}
    with pytest.raises(SettingError, match=r"utility: got 'netscore', which reads an accuracy; expected a proxy"):
        read_utility("netscore", words)
    assert read_utility("proxy - macs", words).metrics == ("blend", "macs")


def test_a_value_that_is_not_there_says_from_what() -> None:
    netscore = read_utility("netscore", WORDS)
    with pytest.raises(ValueError, match=r"^netscore: cannot be worked out from blend_accuracy 0, params 5, macs 7$"):
        netscore.of({"blend_accuracy": 0.0, "params": 5, "macs": 7})
    with pytest.raises(ValueError, match=r"^netscore: got no blend_accuracy, macs, from which it is worked out$"):
        netscore.of({"params": 5})
    with pytest.raises(KeyError, match="blend_accuracy"):
        netscore({"params": 5, "macs": 7})


def test_every_name_is_told_in_the_module() -> None:
    import gas.utility

    for name in [*NAMED, *LANGUAGE.functions]:
        assert name in gas.utility.__doc__
