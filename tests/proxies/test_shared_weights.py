"""The proxy shared_weights: its score against the design alone with the same weights, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from gas.banking import BankTraining
from gas.banks import read
from gas.banks.calibration import recalibrate
from gas.errors import DesignError, RunError, SettingError
from gas.model import build
from gas.proxies import create
from gas.proxies.reduce import reduce
from gas.proxies.shared_weights import CALIBRATION, SharedWeights
from gas.space import load, load_space

QUICK = {"steps": 3, "batch": 16, "images": 128, "validation": 64}


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of tiny.yaml, barely trained."""
    folder = tmp_path_factory.mktemp("banks") / "tiny"
    with BankTraining("tiny.yaml", folder, fidelity=QUICK) as training:
        training.run()
    return str(folder)


def test_the_score_is_that_of_the_design_alone_with_the_same_weights(bank: str) -> None:
    proxy = create("shared_weights", {"bank": bank})
    design = load_space("tiny.yaml").sample_feasible(1, seed=4)[0]
    seen = []
    proxy.inspect = lambda network, small, images: seen.append((network, small, images))
    found = proxy.score(design)
    network, small, images = seen[0]
    assert small == reduce(design, resolution=32, width=0.5)
    assert images is proxy.images.val_images
    alone = build(small, classes=10, seed=1)
    alone.load_state_dict(network.state_dict())
    with torch.no_grad():
        scores = alone.eval()(images)
    right = (scores.argmax(1) == proxy.images.val_labels).float().mean().item()
    assert found["shared_weights"] == pytest.approx(right)
    assert found["shared_weights_loss"] == pytest.approx(
        F.cross_entropy(scores, proxy.images.val_labels).item(), rel=1e-5
    )
    held = proxy.bank.weights(proxy.bank.slots(network, small))
    assert all(torch.equal(held[name], value) for name, value in network.named_parameters())


def test_norm_statistics_are_the_candidates_own(tmp_path: Path) -> None:
    with BankTraining("zoo/shvit_s1", tmp_path / "bank", fidelity=QUICK | {"resolution": 64}) as training:
        training.run()
    proxy = create("shared_weights", {"bank": str(tmp_path / "bank")})
    seen = []
    proxy.inspect = lambda network, small, images: seen.append((network, small))
    first = proxy.score(load("shvit_s1"), seed=5)
    assert proxy.score(load("shvit_s1"), seed=5) == first
    network, small = seen[0]
    alone = build(small, classes=10, seed=2)
    alone.load_state_dict(dict(network.named_parameters()), strict=False)
    order = torch.randperm(128, generator=torch.Generator().manual_seed(5))
    recalibrate(alone, [proxy.images.train_images[part] for part in order.split(16)[:CALIBRATION]])
    for (name, found), other in zip(network.named_buffers(), alone.buffers(), strict=True):
        assert torch.allclose(found.float(), other.float(), atol=1e-5), name


def test_a_bank_may_come_as_bytes(bank: str) -> None:
    design = load_space("tiny.yaml").sample_feasible(1, seed=5)[0]
    sent = create("shared_weights", {"bank": read(bank)})
    assert sent.score(design) == create("shared_weights", {"bank": bank}).score(design)
    with pytest.raises(RunError, match="got one from bytes"):
        sent.settings()


def test_the_images_are_those_that_the_bank_was_not_trained_on(bank: str) -> None:
    proxy = create("shared_weights", {"bank": bank, "seed": 77})
    assert proxy.seed == 0
    assert proxy.fidelity.images == 128


def test_fewer_validation_images_may_be_asked_for_and_nothing_else(bank: str) -> None:
    assert create("shared_weights", {"bank": bank, "fidelity": {"validation": 8}}).fidelity.validation == 8
    for name, value in (("width", 0.25), ("resolution", 64), ("steps", 5), ("noise", 0.0)):
        with pytest.raises(
            SettingError, match=rf"fidelity\.{name}: got .*; expected .*, which the bank was trained at"
        ):
            create("shared_weights", {"bank": bank, "fidelity": {name: value}})
    with pytest.raises(SettingError, match="data: got 'procedural'; expected digits"):
        create("shared_weights", {"bank": bank, "data": "procedural"})


def test_a_design_of_another_space_is_refused_by_its_place(bank: str) -> None:
    proxy = create("shared_weights", {"bank": bank})
    with pytest.raises(DesignError, match="the bank was made for another space or fidelity"):
        proxy.score(load("turbovit"))


def test_without_a_bank_it_says_how_to_make_one() -> None:
    with pytest.raises(
        SettingError, match="bank: got none; expected the folder of a bank: make one with gas train-bank"
    ):
        create("shared_weights")


def test_other_proxies_take_no_bank(bank: str) -> None:
    with pytest.raises(SettingError, match="expected none, because short_training reads no shared weights"):
        create("short_training", {"bank": bank})
    with pytest.raises(SettingError, match="got one; expected none"):
        create("short_training", {"bank": b"x"})


def test_the_settings_name_the_bank_wherever_a_worker_stands(bank: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(bank).parent)
    settings = SharedWeights(bank="tiny").settings()
    monkeypatch.chdir("/")
    assert create("shared_weights", settings).settings() == settings
