from __future__ import annotations

import signal
import threading
import time

import pytest

from gas.errors import SettingError
from gas.evaluators import Work, create

WORK = Work((("troubles", {}),), limit_s=0.2, modules=("troubles",))


def test_there_is_one_worker_and_no_address() -> None:
    with pytest.raises(SettingError, match="workers: got 2; expected 1 with the evaluator in_process"):
        create("in_process", WORK, workers=2)
    with pytest.raises(SettingError, match="address: got 'auto'; expected none"):
        create("in_process", WORK, address="auto")


def test_a_hang_is_cut_off_and_the_handler_and_timer_before_are_put_back(troubled, collect_all) -> None:
    fired = []
    handler = signal.signal(signal.SIGALRM, lambda *_: fired.append(1))
    timer = signal.setitimer(signal.ITIMER_REAL, 1_000.0, 7.0)
    try:
        ours = signal.getsignal(signal.SIGALRM)
        with create("in_process", WORK) as evaluator:
            for number, what in enumerate(("hangs", "fine", "raises")):
                evaluator.submit(troubled(number, what))
            outcomes = collect_all(evaluator)
        assert signal.getsignal(signal.SIGALRM) is ours
        left, interval = signal.getitimer(signal.ITIMER_REAL)
        assert 0 < left < 1_000
        assert interval == 7.0
        assert fired == []
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)
    assert outcomes[0].reason == "over its time limit of 0.2 s"
    assert outcomes[1].reason == ""


def test_off_the_main_thread_a_watched_deadline_still_holds(troubled) -> None:
    outcomes = []

    def work() -> None:
        with create("in_process", WORK) as evaluator:
            evaluator.submit(troubled(0, "watches"))
            outcomes.extend(evaluator.collect(60.0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [o.reason for o in outcomes] == ["over its time limit of 0.2 s: TimeoutError: out of time at step 7"]


def test_ctrl_c_loses_no_candidate(troubled, monkeypatch) -> None:
    with create("in_process", WORK) as evaluator:
        evaluator.submit(troubled(0))
        (proxy, _), *_ = evaluator._prepared.rungs[0]

        def interrupted(*_: object, **__: object) -> dict[str, float]:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(proxy, "score", interrupted)
            with pytest.raises(KeyboardInterrupt):
                evaluator.collect(60.0)
        assert evaluator.pending == 1
        assert [o.number for o in evaluator.collect(60.0)] == [0]


def test_outcomes_come_once_each_and_none_is_begun_after_the_time(troubled) -> None:
    kinds = ("fine", "raises", "fine", "fine")
    candidates = [troubled(number, what) for number, what in enumerate(kinds)]
    with create("in_process", WORK) as evaluator:
        came = [outcome for batch in evaluator.outcomes(candidates) for outcome in batch]
        assert [outcome.number for outcome in came] == [0, 1, 2, 3]
        assert [bool(outcome.reason) for outcome in came] == [False, True, False, False]
        assert list(evaluator.outcomes(candidates, until=time.monotonic())) == []
        assert evaluator.pending == 0
        evaluator.submit(troubled(9))
        late = [outcome.number for batch in evaluator.outcomes(candidates, until=0.0) for outcome in batch]
        assert late == [9]  # what was begun is waited for
