from __future__ import annotations

from pathlib import Path

import pytest

from gas.arguments import pairs, rungs, settings_of, where
from gas.errors import SettingError


def test_pairs_of_names_and_values() -> None:
    given = ("a=1,b=0.5", " c = x", "d=true", "e=-2", "f=1e3", "g=")
    assert pairs("option", given) == {"a": 1, "b": 0.5, "c": "x", "d": True, "e": -2, "f": 1000.0, "g": ""}
    for text in ("a", "=1", "a=1,,b=2"):
        with pytest.raises(SettingError, match=r"option: got .*; expected NAME=VALUE"):
            pairs("option", (text,))


def test_what_a_new_search_is_given_unless_told_otherwise() -> None:
    nothing = {"budget": None, "options": (), "fidelity": (), "time_limit": None, "limit": None, "compare": ()}
    new = settings_of(nothing, resume=False)
    assert new["seconds"] == 300.0
    assert new["workers"] >= 1
    assert set(new) == {"seconds", "workers"}
    assert settings_of(nothing | {"worker_threads": 10_000}, resume=False)["workers"] == 1
    assert settings_of(nothing | {"address": "host:1"}, resume=False)["workers"] == "auto"
    assert settings_of(nothing | {"workers": "3"}, resume=True) == {"workers": 3}
    assert settings_of(nothing | {"workers": "auto"}, resume=True) == {"workers": "auto"}
    assert settings_of(nothing, resume=True) == {}
    assert settings_of(nothing | {"time_limit": "none"}, resume=False)["seconds"] is None
    assert settings_of(nothing | {"time_limit": "2m", "limit": "1m"}, resume=True) == {
        "seconds": 120.0,
        "limit_s": 60.0,
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("turbovit.yaml", "runs/turbovit", False)),
        ({"space": "a/tiny.yaml"}, ("a/tiny.yaml", "runs/tiny", False)),
        ({"space": "tiny.yaml", "out": "b"}, ("tiny.yaml", "b", False)),
        ({"resume": "b"}, (None, "b", True)),
        ({"resume": "b", "out": "b/", "space": "x"}, ("x", "b", True)),
        ({"out": "b", "resume_if_exists": True}, ("turbovit.yaml", "b", False)),
        ({"out": "there", "resume_if_exists": True}, (None, "there", True)),
        ({"out": "there"}, ("turbovit.yaml", "there", False)),
    ],
)
def test_where_a_search_goes(given: dict, expected: tuple, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    Path("there/run.json").write_text("{}")
    nothing = {"space": None, "out": None, "resume": None, "resume_if_exists": False}
    assert where(nothing | given) == (expected[0], Path(expected[1]), expected[2])


def test_rungs_are_steps_or_fields_of_the_fidelity() -> None:
    assert rungs("64, 128") == ({"steps": 64}, {"steps": 128})
    assert rungs("resolution=16+steps=64,128") == ({"resolution": 16, "steps": 64}, {"steps": 128})
    assert settings_of({"ladder": "8"}, resume=True) == {"ladder": ({"steps": 8},)}
    for text in ("", "64,,128", "64,steps"):
        with pytest.raises(SettingError, match=r"ladder: got .*; expected NAME=VALUE"):
            rungs(text)
