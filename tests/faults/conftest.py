from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.campaign import KINDS, Setting, unbroken
from faults.nursery import Nursery
from small_search import written

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


@pytest.fixture
def seed() -> int:
    """Of moments and damages: drawn anew each time, and printed; in CI always the same, as with property tests."""
    drawn = 1 if os.environ.get("CI") else random.SystemRandom().randrange(10**6)
    print(f"seed {drawn}")
    return drawn


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: what is kept of a killed process is the kernel's, on a disk or not."""
    with _quick_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def settings(nursery: Nursery) -> Iterator[dict[str, list[Setting]]]:
    """Two searches of each kind, as they go where nobody interferes."""
    with _quick_folder() as folder:
        space = written(folder)
        yield {kind: [unbroken(nursery, kind, seed, space, folder) for seed in (3, 4)] for kind in KINDS}


def _quick_folder() -> tempfile.TemporaryDirectory:
    usable = MEMORY.is_dir() and os.access(MEMORY, os.W_OK)
    return _Folder(prefix="gas-faults-", dir=MEMORY if usable else None)


class _Folder(tempfile.TemporaryDirectory):
    def __enter__(self) -> Path:
        return Path(super().__enter__())
