"""What every test stands on: one thread, a closed network, a cache of its own, and timm for the parity tests."""
# ruff: noqa: E402  (the environment must be set before the imports that read it)

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

# Read by the libraries when they are imported, and by the processes that tests start; so set before any import.
# Several tests may run beside one another, and two pools of threads on the same cores wait for each other.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["RAY_AUTH_MODE"] = "disabled"  # or Ray writes a token under the home folder
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["HF_HUB_OFFLINE"] = "1"  # timm must never go looking for weights
os.environ["MPLBACKEND"] = "Agg"

import hypothesis
import pytest
import torch
from hypothesis.database import DirectoryBasedExampleDatabase

torch.set_num_threads(1)

# A shared machine makes any deadline a lie. Where CI is set, a red run must be red again on the same commit.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile(
    "here",
    deadline=None,
    database=DirectoryBasedExampleDatabase(Path(tempfile.gettempdir(), f"gas-hypothesis-{os.getuid()}")),
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(scope="session", autouse=True)
def gas_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that GAS_CACHE names during the tests: theirs alone, and empty at the start."""
    folder = tmp_path_factory.mktemp("gas-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAS_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def timm() -> ModuleType:
    """Timm, the public implementations that ours are compared with. Missing, it is an error and never a skip."""
    from gas.exports.checker import help_torchvision

    help_torchvision()
    import timm

    return timm


@pytest.fixture
def quick() -> Iterator[None]:
    """The made-up proxy `quick` is known, and nothing counts as scored at the start."""
    from small_search import quick_proxy

    with quick_proxy():
        yield


@pytest.fixture
def space(tmp_path: Path) -> Path:
    """File of the small space that `quick` is for; a module may have another of its own."""
    from small_search import written

    return written(tmp_path)
