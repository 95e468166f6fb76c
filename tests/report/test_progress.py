import io

import pytest

from gas.report.progress import SearchProgress, State, clock


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.time = 100.0

    def __call__(self):
        return self.time


class Terminal(io.StringIO):
    """A stream that takes itself for a terminal."""

    def isatty(self):
        return True


def test_piped_there_is_a_line_now_and_then():
    out, now = io.StringIO(), Clock()
    with SearchProgress(out, every_s=15, now=now) as bar:
        for done in range(40):
            bar.update(done, 40, 0.5, 0.61234, 1.5, 2, 100.0 - done)
            now.time += 1
    lines = out.getvalue().splitlines()
    assert [line.split("/")[0] for line in lines] == ["0", "15", "30", "39"]
    assert lines[0] == "0/40 candidates, 50% feasible, best 0.6123, hypervolume 1.5, 2 in flight, 1:40 min left"
    assert "\x1b" not in out.getvalue()


def test_the_last_state_is_said_once():
    out = io.StringIO()
    bar = SearchProgress(out, now=Clock())
    bar.update(3, None, note="measuring\nthe front")
    bar.close()
    bar.close()
    bar.update(4)
    assert out.getvalue() == "3 candidates, measuring the front\n"


def test_nothing_is_said_of_nothing():
    out = io.StringIO()
    SearchProgress(out).close()
    assert out.getvalue() == ""


def test_a_terminal_gets_a_bar_that_is_redrawn():
    out = Terminal()
    with SearchProgress(out, now=Clock()) as bar:
        bar.update(1, 4, best="none yet")
        bar.update(2, 4, best=0.5)
        bar.update(3, None)
    text = out.getvalue()
    assert "25%" in text
    assert "2/4 candidates, best 0.5" in text
    assert "3 candidates" in text
    assert "\x1b[?25l" in text  # the cursor is hidden while it runs ...
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # ... and shown again


def test_a_terminal_is_given_back_after_an_error():
    out = Terminal()

    def interrupted():
        with SearchProgress(out) as bar:
            bar.update(1, 2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "\x1b[?25h" in out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "expected"), [(-3, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (200, "3:20 min"), (3900, "1:05 h")]
)
def test_lengths_of_time(seconds, expected):
    assert clock(seconds) == expected


def test_what_is_not_known_is_left_out():
    assert State(0).line() == "0 candidates"
