"""What a training that was broken off goes on from, as safetensors bytes: tensors and words, nothing to unpickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gas.errors import describe, first_line

FORMAT = "gas-training-1"
_ENTRY = "gas"


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Tensors on the CPU, and words that say what they are."""

    tensors: Mapping[str, Tensor]
    words: Mapping[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Safetensors bytes, equal for equal snapshots; the digest among the words is that of all else."""
        words = {**self.words, "format": FORMAT}
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
        # One entry: safetensors writes several in an order of its own, another at each call.
        return save(tensors, {_ENTRY: json.dumps({**words, "digest": _digest(tensors, words)}, sort_keys=True)})

    @classmethod
    def of(cls, state: bytes, expected: Mapping[str, str]) -> Snapshot:
        """The snapshot that the bytes hold.

        Args:
            state: As `to_bytes` gave them.
            expected: Words that it must have been given.

        Raises:
            ValueError: It is damaged, or another's; names the first word that differs.
        """
        try:
            length = int.from_bytes(state[:8], "little")
            words = dict(json.loads(json.loads(state[8 : 8 + length])["__metadata__"][_ENTRY]))
            tensors = load(state)
        except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
            text = f"state: {len(state)} bytes that are no state of a training: {first_line(error)}"
            raise ValueError(text) from error
        digest = words.pop("digest", "")
        for name, value in {"format": FORMAT, **expected}.items():
            if words.get(name) != value:
                raise ValueError(f"state: {name}: {describe(words.get(name), repr(value))}")
        if _digest(tensors, words) != digest:
            raise ValueError("state: damaged: it does not agree with its own digest")
        return cls(tensors, words)


def _digest(tensors: Mapping[str, Tensor], words: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(dict(words), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
