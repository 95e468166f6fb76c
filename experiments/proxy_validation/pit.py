"""The trained PiT designs of ViT-Bench-101, in our language: from the benchmark's table to pit.csv.

    python experiments/proxy_validation/pit.py TABLE.csv

TABLE.csv has a row per design: arch_json (base_dim, mlp_ratio, depth, num_heads), params_100cls, macs_224,
c100_base_acc, flower_base_acc; from `gt_results/gt_pit.pth` of github.com/lilujunai/Auto-Prox-AAAI24 (Apache-2.0;
Auto-Prox, AAAI 2024). Accuracies are top-1 on CIFAR-100 and Flowers-102, one training each, without distillation.

pit.csv has id, the accuracies in per cent, macs, params (of 100 classes), table_macs, design. Our params
are the table's, exactly. Our macs are the table's plus the linear layers on the class token alone (two poolings and the
head), which the table leaves out: `class_token_macs`.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gas
from gas.architecture import Architecture, Group, Spec, Stage
from gas.space import design_from_text

HERE = Path(__file__).parent
COLUMNS = ("id", "c100_base_acc", "flower_base_acc", "macs", "params", "table_macs", "design")
CLASSES = 100


def design(arch: Mapping[str, Any]) -> Architecture:
    """A row's arch_json as a member of search_spaces/pit.yaml."""
    base, stages = arch["base_dim"], []
    mlp = Spec.of("mlp", ratio=float(arch["mlp_ratio"]))
    block = Spec.of("transformer", mixer=Spec.of("global_attention", head_dim=base), mlp=mlp)
    for index, (depth, heads) in enumerate(zip(arch["depth"], arch["num_heads"], strict=True)):
        entry = Spec.of("pit_pooling") if index else None
        stages.append(Stage(base * heads, (Group(block, depth),), entry))
    head = Spec.of("classifier", token="class", classes=CLASSES)
    made = Architecture(Spec.of("pit_embed", dim=stages[0].dim), tuple(stages), head, 224)
    return design_from_text(made.to_json())  # as the space writes it: what is usual is left out


def class_token_macs(member: Architecture) -> int:
    """Macs of the linear layers that read the class token and nothing else."""
    first, second, third = (stage.dim for stage in member.stages)
    return first * second + second * third + third * CLASSES


def main() -> None:
    """Writes pit.csv."""
    parser = argparse.ArgumentParser()
    parser.add_argument("table", type=Path)
    with parser.parse_args().table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (HERE / "pit.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(COLUMNS)
        for row in rows:
            member = design(json.loads(row["arch_json"]))
            cost, macs = gas.cost(member), int(row["macs_224"])
            assert cost.params == int(row["params_100cls"])
            assert cost.macs == macs + class_token_macs(member)
            accuracies = [row[name] for name in COLUMNS[1:3]]
            out.writerow([member.id, *accuracies, cost.macs, cost.params, macs, member.to_json()])


if __name__ == "__main__":
    main()
