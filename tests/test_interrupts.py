"""Ctrl-C at places where Python itself passes no exception on."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

from small_search import SPACE

# Each puts the signal where the interpreter can only print the exception.
PLACES = {
    "generator": """
def work():
    try:
        yield
    finally:
        signal.raise_signal(signal.SIGINT)

left = work()
next(left)
del left
""",
    "reference": """
thing = Thing()
kept = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
del thing
""",
}
START = "import signal, weakref\nfrom gas import interrupts\n\nclass Thing:\n    pass\n\n"


def run(text: str, *, ignoring: bool = False) -> subprocess.CompletedProcess[str]:
    handler = signal.SIG_IGN if ignoring else signal.SIG_DFL
    return subprocess.run(
        [sys.executable, "-c", START + text],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, handler),
    )


def test_without_it_python_drops_the_exception():
    for place in PLACES.values():
        done = run(place)
        assert done.returncode == 0
        assert done.stderr.startswith("Exception ignored in")


def test_what_python_dropped_is_raised_at_the_next_check():
    for place in PLACES.values():
        done = run(f"interrupts.listen()\n{place}\nprint('on')\ninterrupts.check()\nprint('too far')")
        assert done.stdout == "on\n"
        assert done.returncode != 0
        assert "ignored" not in done.stderr
        assert done.stderr.endswith("KeyboardInterrupt\n")


def test_nothing_is_raised_where_nobody_asked():
    done = run("interrupts.listen()\ninterrupts.check()\nprint('on')")
    assert (done.stdout, done.stderr) == ("on\n", "")


def test_both_signals_interrupt_and_a_new_command_begins_anew():
    for number in ("SIGINT", "SIGTERM"):
        text = f"try:\n    signal.raise_signal(signal.{number})\nexcept KeyboardInterrupt:\n    print('heard')\n"
        done = run(f"interrupts.listen()\n{text}\ninterrupts.listen()\ninterrupts.check()")
        assert (done.stdout, done.returncode) == ("heard\n", 0), number


def test_what_comes_after_an_interrupted_command_is_not_interrupted():
    text = "from gas.cli import app, main\n@app.cli.command()\ndef wait():\n    signal.raise_signal(signal.SIGINT)\n"
    done = run(f"{text}\nprint(main(['wait']))\ninterrupts.check()\nprint('on')")
    assert (done.stdout, done.stderr) == ("130\non\n", "gas: interrupted\n")


def test_a_signal_that_the_shell_has_it_ignore_stays_ignored():
    done = run("interrupts.listen()\nsignal.raise_signal(signal.SIGINT)\ninterrupts.check()\nprint(1)", ignoring=True)
    assert (done.stdout, done.returncode) == ("1\n", 0)


def test_other_exceptions_that_cannot_be_raised_are_still_told():
    text = "class Bad:\n    def __del__(self):\n        raise ValueError('told')\nBad()"
    assert "ValueError: told" in run(f"interrupts.listen()\n{text}").stderr


def test_a_search_ends_where_its_proxy_swallowed_ctrl_c(tmp_path):
    (tmp_path / "space.yaml").write_text(SPACE)
    place = textwrap.indent(textwrap.dedent(PLACES["reference"]), " " * 8)
    where = {"--space": tmp_path / "space.yaml", "--out": tmp_path / "run", "--generator": "evolution"}
    words = [str(word) for pair in where.items() for word in pair]
    text = f"""
from gas.cli import main
from gas.proxies import PROXIES
from gas.proxies.base import Proxy

class Deaf(Proxy):
    name = "deaf"

    def score(self, architecture, *, seed=0, deadline=None):
{place}
        return {{"deaf": 1.0}}

PROXIES.names()
PROXIES.register("deaf")(Deaf)
raise SystemExit(main(["search", *{words}, "--proxy", "deaf", "--budget", "9", "--workers", "1", "--quiet"]))
"""
    done = run(text)
    assert done.returncode == 130, done.stderr
    assert done.stderr.startswith("gas: interrupted after 1 evaluations; go on with: gas search --resume ")
