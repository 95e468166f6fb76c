"""Training a bank over a space, in a folder: its designs, going on after a stop, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gas.banking import BankTraining, StepDesigns, check_space
from gas.banks import load
from gas.cli import main
from gas.errors import RunError, SettingError, SpaceError
from gas.model import build
from gas.plan import plan
from gas.proxies import Fidelity
from gas.proxies.reduce import reduce
from gas.space import load_space, space_from_text

QUICK = {"steps": 4, "batch": 8, "images": 64, "validation": 32}
AT = Fidelity(resolution=32, width=0.5)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Of a bank in a folder."""
    return load(folder)[0].tensors


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank of tiny.yaml, trained for four steps."""
    folder = tmp_path_factory.mktemp("banks") / "bank"
    with BankTraining("tiny.yaml", folder, fidelity=QUICK) as training:
        training.run()
    return folder


def test_the_designs_of_a_step_follow_from_its_number() -> None:
    space = load_space("tiny.yaml")
    first, again, other = (StepDesigns(space, AT, 2, seed) for seed in (0, 0, 1))
    assert [first(n) for n in (70, 0, 65)] == [again(n) for n in (70, 0, 65)]
    assert [first(n)[2:] for n in range(8)] != [other(n)[2:] for n in range(8)]
    assert len({d.id for n in range(8) for d in first(n)[2:]}) > 8
    assert all(len(first(n)) == 4 for n in (0, 63, 64))


def test_the_extremes_have_every_number_at_its_largest_and_smallest() -> None:
    designs = StepDesigns(load_space("tiny.yaml"), Fidelity(resolution=32), 1, 0)
    large, small = (designs.extreme(0, largest=end) for end in (True, False))
    assert (large.dims, large.depths) == ((48, 96, 192), (2, 3, 3))
    assert (small.dims, small.depths) == ((16, 32, 64), (1, 1, 1))
    mixers = {designs.extreme(n, largest=True).stages[0].blocks[0].block.options["mixer"].pattern for n in range(9)}
    assert mixers == {"mask_unit_attention", "global_attention"}


@pytest.mark.parametrize("name", ["tiny.yaml", pytest.param("turbovit.yaml", marks=pytest.mark.slow)])
def test_a_bank_holds_designs_of_its_space_before_it_is_trained(name: str, tmp_path: Path) -> None:
    space = load_space(name)
    with BankTraining(space, tmp_path / "bank", fidelity=QUICK) as training:
        bank, fidelity = training.trainer.bank, Fidelity(**training.record.fidelity)
        for design in space.sample_feasible(60, seed=11):
            small = reduce(design, resolution=fidelity.resolution, width=fidelity.width)
            network = build(small, classes=10, seed=0)
            assert bank.lacks(bank.slots(network, small)) == []


def test_a_bank_of_one_design_has_its_size(tmp_path: Path) -> None:
    space = load_space("zoo/hiera_tiny")
    with BankTraining(space, tmp_path / "bank", fidelity=QUICK | {"classes": 10}) as training:
        small = training.designs.extreme(0, largest=True)
        assert training.designs(5) == [small] * 4
        thousand = plan(small).cost.params
        assert training.trainer.bank.params == thousand - 990 * (small.dims[-1] + 1)


def test_a_training_that_was_broken_off_goes_on_as_if_it_had_not_been(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    with BankTraining("tiny.yaml", folder, fidelity=QUICK) as training:
        training.watch = _stop_at(2)
        with pytest.raises(KeyboardInterrupt):
            training.run()
    assert load(folder)[2].step == 2
    with BankTraining(None, folder, resume=True) as training:
        training.run()
    assert load(folder)[2].step == 4
    found, wanted = tensors(folder), tensors(trained)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(tensor, wanted[key]) for key, tensor in found.items())


def _stop_at(step: int) -> object:
    def watch(progress: object) -> None:
        if progress.done == step:
            raise KeyboardInterrupt

    return watch


def test_a_step_that_was_broken_off_within_leaves_the_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    with BankTraining("tiny.yaml", folder, fidelity=QUICK, every=2) as training:
        apply = training.trainer._apply

        def broken(*given: object) -> None:
            apply(*given)
            if training.trainer.step == 3:
                raise KeyboardInterrupt

        training.trainer._apply = broken
        with pytest.raises(KeyboardInterrupt):
            training.run()
    assert load(folder)[2].step == 2


@pytest.mark.slow
def test_two_trainings_never_share_a_folder(tmp_path: Path) -> None:
    with BankTraining("tiny.yaml", tmp_path / "bank", fidelity=QUICK), pytest.raises(RunError, match="is writing to"):
        BankTraining(None, tmp_path / "bank", resume=True)
    with BankTraining(None, tmp_path / "bank", resume=True):
        pass


def test_what_cannot_be_is_refused(trained: Path, tmp_path: Path) -> None:
    new = tmp_path / "bank"
    for error, text, given in (
        (RunError, "got a bank that exists already", {"space": "tiny.yaml", "out": trained}),
        (RunError, "got no bank", {"space": "tiny.yaml", "out": new, "resume": True}),
        (SettingError, "space: got none", {"space": None, "out": new}),
        (SpaceError, "nowhere", {"space": "nowhere.yaml", "out": new}),
        (SettingError, "data: got 'procedural'", {"space": None, "out": trained, "resume": True, "data": "procedural"}),
        (SettingError, "seed: got 5", {"space": None, "out": trained, "resume": True, "seed": 5}),
        (
            SettingError,
            r"fidelity\.steps: got 9",
            {"space": None, "out": trained, "resume": True, "fidelity": {"steps": 9}},
        ),
        (SettingError, "one of the space tiny", {"space": "turbovit.yaml", "out": trained, "resume": True}),
        (
            SettingError,
            r"fidelity\.augment: got",
            {"space": "tiny.yaml", "out": new, "fidelity": {"augment": ["flip"]}},
        ),
        (SettingError, r"fidelity\.rate: got", {"space": "tiny.yaml", "out": new, "fidelity": {"rate": (1e-3, 2e-3)}}),
    ):
        with pytest.raises(error, match=text):
            BankTraining(given.pop("space"), given.pop("out"), **given)
    assert not new.exists()


def test_a_space_with_other_bounds_is_the_same_and_one_with_other_choices_is_not(trained: Path) -> None:
    space, record = load_space("tiny.yaml"), load(trained)[2]
    text = space.document.text
    check_space(record, space_from_text(text.replace("max: 5M", "max: 4M")))
    with pytest.raises(SettingError, match="got one of the space tiny; expected one of tiny, as it is now"):
        check_space(record, space_from_text(text.replace("choose: [16, 24, 32]}}", "choose: [16, 24]}}")))


def test_the_command_trains_and_says_what_is_next(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = str(tmp_path / "a bank")
    sizes = [word for name, value in QUICK.items() if name not in ("steps", "batch") for word in _field(name, value)]
    command = ["train-bank", "tiny.yaml", "--out", out, *sizes]
    assert main([*command, "--steps", "2", "--batch", "8", "--quiet"]) == 0
    said = capsys.readouterr()
    assert f"next: gas search --space tiny.yaml --proxy shared_weights --bank '{out}'" in said.out
    assert main([*command, "--steps", "2"]) == 2
    assert "got a bank that exists already" in capsys.readouterr().err
    assert main(["train-bank", "tiny.yaml", "--out", out, "--resume", "--json", "--quiet"]) == 0
    assert '"steps": 2' in capsys.readouterr().out


def _field(name: str, value: object) -> tuple[str, str]:
    return "--fidelity", f"{name}={value}"


def test_ctrl_c_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(training: BankTraining) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(BankTraining, "run", stop)
    assert main(["train-bank", "tiny.yaml", "--out", str(tmp_path / "b"), "--quiet"]) == 130
    told = capsys.readouterr().err
    assert f"interrupted after 0 steps; go on with: gas train-bank tiny.yaml --out {tmp_path / 'b'} --resume" in told
