import io

import pytest

from gas.report.measuring import EVERY_S, MeasuringLine


class Terminal(io.StringIO):
    """A stream that takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_nothing_is_said_where_it_is_piped(share: float) -> None:
    out = io.StringIO()
    with MeasuringLine(out) as line:
        line.update("measuring", share)
    assert out.getvalue() == ""


def test_a_terminal_shows_each_beginning_and_the_rest_now_and_then() -> None:
    out, seconds = Terminal(), [100.0]
    with MeasuringLine(out, now=lambda: seconds[0]) as line:
        line.update("preparing one", 0.0)
        line.update("too early", 0.1)
        seconds[0] += EVERY_S
        line.update("measuring, 3 rounds", 0.3)
        line.update("preparing two", 0.0)
        assert "\x1b" in out.getvalue()
    text = out.getvalue()
    assert "too early" not in text
    places = [text.index(words) for words in ("preparing one", "measuring, 3 rounds", "preparing two")]
    assert places == sorted(places)


def test_the_line_is_taken_away_and_may_come_again() -> None:
    out = Terminal()
    line = MeasuringLine(out)
    line.update("first", 0.0)
    line.close()
    assert out.getvalue().endswith("\x1b[2K")  # the line is erased
    line.close()
    line.update("second", 0.0)
    line.close()
    assert "second" in out.getvalue()
