from __future__ import annotations

import math
import pickle
import platform
import resource
import time

import pytest

from gas.errors import DataError, SettingError, UnknownNameError
from gas.evaluators import EVALUATORS, Outcome, Work, create
from gas.evaluators._work import OutOfTime, Prepared, memory_limit, prepare, reason_of, run_work


class Stub:
    """A proxy made of one function."""

    name = "stub"

    def __init__(self, score) -> None:
        self.score = score


def run(*scores, **limits) -> Outcome:
    text = '{"head":{"pattern":"h"},"input":{"channels":3,"resolution":32},"stages":[],"stem":{"pattern":"s"}}'
    return run_work(Prepared(Work((), **limits), [[(Stub(score), 5) for score in scores]]), 3, text)


def fails(error: BaseException):
    def score(architecture, *, seed, deadline):
        raise error

    return score


def test_metrics_of_all_proxies_are_put_together() -> None:
    outcome = run(
        lambda a, *, seed, deadline: {"side": a.resolution, "seed": seed},
        lambda a, *, seed, deadline: {"deadline": -1 if deadline is None else deadline},
    )
    assert outcome == Outcome(3, {"side": 32.0, "seed": 5.0, "deadline": -1.0}, "", outcome.seconds, outcome.worker)
    assert all(type(value) is float for value in outcome.metrics.values())
    assert outcome.seconds > 0
    assert outcome.worker.startswith(f"{platform.node()}:")
    assert pickle.loads(pickle.dumps(outcome)) == outcome


def test_the_deadline_is_the_limit_from_now_for_all_proxies_together() -> None:
    before = time.monotonic()
    outcome = run(*[lambda a, *, seed, deadline, n=n: {f"{n}": deadline} for n in range(2)], limit_s=50.0)
    assert before + 50 <= outcome.metrics["0"] == outcome.metrics["1"] <= time.monotonic() + 50


@pytest.mark.parametrize(
    ("score", "reason"),
    [
        (fails(ValueError("loss is nan")), "ValueError: loss is nan"),
        (fails(ValueError("a\n  b\n")), "ValueError: a b"),
        (fails(KeyError()), "KeyError"),
        (fails(MemoryError()), "MemoryError"),
        (fails(RuntimeError("not enough memory: you tried")), "MemoryError: not enough memory: you tried"),
        (fails(RuntimeError("shapes differ")), "RuntimeError: shapes differ"),
        (fails(DataError("images: gone")), "DataError: images: gone"),
        (fails(SystemExit(2)), "SystemExit: 2"),
        (fails(TimeoutError("a socket")), "TimeoutError: a socket"),
        (fails(OutOfTime()), "over its time limit of 9 s"),
        (fails(ValueError("x" * 10_000)), f"ValueError: {'x' * 285}..."),
        (lambda a, *, seed, deadline: {"loss": math.nan}, "ValueError: loss: got nan; expected a finite number"),
        (lambda a, *, seed, deadline: {"loss": -math.inf}, "ValueError: loss: got -inf; expected a finite number"),
        (lambda a, *, seed, deadline: {"loss": None}, "TypeError: .*NoneType.*"),
        (lambda a, *, seed, deadline: None, "AttributeError: .*"),
        (lambda a, *, seed, deadline: {"first": 2.0}, "ValueError: first: given by two proxies; expected one"),
    ],
)
def test_whatever_goes_wrong_is_the_reason_and_leaves_no_metrics(score, reason: str) -> None:
    outcome = run(lambda a, *, seed, deadline: {"first": 1.0}, score, limit_s=9.0)
    assert outcome.metrics == {}
    if not reason.startswith("over"):  # two proxies ran, and it says which of them it was
        reason = f"stub: {reason}"[:297] + "..." * reason.endswith("...")
    if reason.endswith(".*"):
        assert outcome.reason.startswith(reason.partition(".*")[0])
    else:
        assert outcome.reason == reason
    assert "\n" not in outcome.reason


def test_a_design_that_cannot_be_read_is_a_reason() -> None:
    assert run_work(Prepared(Work(()), [[]]), 0, "{").reason.startswith("JSONDecodeError: ")
    assert run_work(Prepared(Work(()), [[]]), 0, "{}").reason.startswith("DesignError: ")


def test_ctrl_c_is_not_taken_for_a_failure() -> None:
    with pytest.raises(KeyboardInterrupt):
        run(fails(KeyboardInterrupt()))


def test_the_memory_limit_bounds_growth_and_ends_with_the_block() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    with memory_limit(128):
        bytearray(2**25)
        with pytest.raises(MemoryError):
            bytearray(2**28)
        with memory_limit(10**6), pytest.raises(MemoryError):  # a wider limit inside does not widen the outer one
            bytearray(2**28)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert len(bytearray(2**28)) == 2**28


@pytest.mark.parametrize("limits", [{"limit_s": 0}, {"limit_s": -1.0}, {"limit_s": math.nan}, {"memory_mib": 0}])
def test_limits_must_be_above_0(limits: dict) -> None:
    (name,) = limits
    with pytest.raises(SettingError, match=f"{name}: got .*; expected a number above 0"):
        Work((), **limits)


def test_what_is_wrong_with_the_work_itself_is_said_before_any_candidate() -> None:
    with pytest.raises(UnknownNameError, match=r"proxy: got 'short_trainin'.*did you mean 'short_training'"):
        prepare(Work((("short_trainin", {}),)))
    with pytest.raises(SettingError, match="proxy short_training"):
        prepare(Work((("short_training", {"dta": "digits"}),)))
    with pytest.raises(SettingError, match=r"cannot be made ready: ModuleNotFoundError: .*nowhere"):
        prepare(Work((), modules=("nowhere",)))
    with pytest.raises(SettingError, match="cannot be made ready: ValueError: cannot be read"):
        prepare(Work((("troubles", {"data": "missing"}),), modules=("troubles",)))


def test_the_registry_holds_both() -> None:
    assert EVALUATORS.names() == ["in_process", "ray"]
    with pytest.raises(UnknownNameError, match="did you mean 'in_process'"):
        create("in_proces", Work(()))


@pytest.mark.parametrize("name", ["in_process", "ray"])
@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_a_worker_count_that_cannot_be(name: str, workers: object) -> None:
    with pytest.raises(SettingError, match=f"workers: got {workers}; expected a whole number of at least 1, or auto"):
        create(name, Work(()), workers=workers)
    with pytest.raises(SettingError, match=r"workers: got 'aut'; .* did you mean 'auto'"):
        create(name, Work(()), workers="aut")


def test_an_exception_without_words_is_named() -> None:
    assert reason_of(ZeroDivisionError()) == "ZeroDivisionError"
