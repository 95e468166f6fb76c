"""`gas train`: the bar of a training, and what is printed of it."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gas.errors import SettingError
from gas.report.progress import SearchProgress, clock

if TYPE_CHECKING:
    from gas.architecture import Architecture
    from gas.trainer import State, TrainingResult


def train_and_print(architecture: Architecture | None, *, as_json: bool, quiet: bool, **asked: Any) -> None:
    """Trains a design and prints what came of it.

    Args:
        architecture: The design; None where a training is resumed.
        as_json: Print JSON.
        quiet: Show no progress.
        **asked: See `gas.trainer.train`; `out` may be missing, which is refused.

    Raises:
        KeyboardInterrupt: It was broken off; says with which command it goes on.
    """
    from gas.trainer import train

    if asked["out"] is None:
        raise SettingError("out: got none; expected the folder of the training")
    with SearchProgress() as bar:
        try:
            result = train(architecture, tell=None if quiet else teller(bar), **asked)
        except KeyboardInterrupt as stop:
            begun = (Path(asked["out"]) / "training.json").exists()
            on = f"; go on with: {again(asked)}" if begun else ""
            raise KeyboardInterrupt(f"training {str(stop) or 'stopped'}{on}") from None
    for note in result.notes:
        print(note, file=sys.stderr)
    if as_json:
        print(json.dumps(plain(result), indent=1))
        return
    for line in said(result, again(asked)):
        print(line)


def evaluate_and_print(
    architecture: Architecture | None, *, as_json: bool, quiet: bool, init: str | None, out: str | None, **asked: Any
) -> None:
    """Prints how well weights do: those of `init`, or those that the training in `out` came to.

    Args:
        architecture: The design; None for that of `out`.
        as_json: Print JSON.
        quiet: Has no meaning here.
        init: A safetensors file.
        out: Folder of a training.
        **asked: See `gas.trainer.evaluate_weights`.
    """
    from gas.trainer import evaluate_weights, load_recipe
    from gas.trainer.store import DESIGN, MODEL, RECIPE, Store

    data, recipe = asked["data"], asked["recipe"]
    if out is not None:
        from gas.space import design_from_text

        store = Store(Path(out))
        settings = store.settings()
        data, recipe = data or settings["data"], recipe or str(store.folder / RECIPE)
        architecture = architecture or design_from_text(store.text(DESIGN), str(store.folder / DESIGN))
        init = init or str(store.folder / MODEL)
        asked["classes"] = asked["classes"] or settings["limit"]
    for name, value in (("design", architecture), ("data", data), ("init", init)):
        if value is None:
            raise SettingError(f"{name}: got none; expected one, or --out with the folder of a training")
    made = load_recipe(recipe or "quick", asked["overrides"])
    rest = {name: asked[name] for name in ("classes", "device", "threads", "loaders")}
    found = evaluate_weights(architecture, init, data=data, recipe=made, **rest)
    if as_json:
        print(json.dumps(asdict(found), indent=1))
        return
    print(f"top-1 {found.top1:.2%}, top-5 {found.top5:.2%}, loss {found.val_loss:.4f} on {found.images:,} images")


def teller(bar: SearchProgress) -> Callable[[State], None]:
    """What shows the states of a training: a bar on a terminal, elsewhere a line now and then."""
    last = ""

    def tell(state: State) -> None:
        nonlocal last
        if state.row is not None:
            last = line_of(state)
        words = f"loss {state.loss:.3f}, rate {state.rate:.2g}, {state.images_per_s:.0f} images/s"
        bar.update(
            state.step,
            state.steps,
            best=None if state.best is None else f"top-1 {state.best:.2%}",
            seconds_left=state.seconds_left,
            note=", ".join(part for part in (f"epoch {state.epoch}/{state.epochs}", words, last) if part),
            what="steps",
        )

    return tell


def line_of(state: State) -> str:
    """The epoch that has just ended, in words."""
    row = state.row or {}
    mean = f" (mean weights {row['ema_top1']:.2%})" if "ema_top1" in row else ""
    return f"epoch {row['epoch']:.0f} ended: top-1 {row['top1']:.2%}{mean}, top-5 {row['top5']:.2%}"


def said(result: TrainingResult, command: str) -> list[str]:
    """What a training came to, in lines."""
    folder = result.folder
    if not result.rows:
        return [f"no epoch is done; {result.step} steps; go on with: {command}"]
    last, best = result.rows[-1], result.best
    which = "mean weights" if result.mean else "weights"
    top5 = last.get("ema_top5", last["top5"])
    lines = [
        f"epoch {last['epoch']:.0f}, {which}: top-1 {result.top1():.2%}, top-5 {top5:.2%} on the validation images",
        f"best epoch {best['epoch']:.0f}: top-1 {result.top1(best):.2%}, chosen on these very images",
        f"{clock(last['seconds'])}, {last['images_per_s']:.0f} images/s in the last epoch",
    ]
    if not result.finished:
        return [*lines, f"stopped after step {result.step}; go on with: {command}"]
    lines += [f"wrote {result.weights} (the end), {result.best_weights} (the best epoch), {folder / 'metrics.csv'}"]
    quoted = shlex.quote(str(folder))
    own = {
        name: shlex.quote(str(path)) for name, path in (("design", folder / "design.yaml"), ("weights", result.weights))
    }
    lines += [f"next: gas export {own['design']} --weights {own['weights']} --out out"]
    lines += [f"look again: gas train --eval-only --out {quoted}"]
    return lines


def plain(result: TrainingResult) -> dict[str, Any]:
    """What a training came to, for JSON."""
    best = result.best
    return {
        "finished": result.finished,
        "step": result.step,
        "epochs": len(result.rows),
        "top1": result.top1() if result.rows else None,
        "best_top1": result.top1(best) if best else None,
        "best_epoch": best["epoch"] if best else None,
        "weights": str(result.weights) if result.finished else None,
        "best_weights": str(result.best_weights) if best else None,
        "rows": list(result.rows),
        "notes": list(result.notes),
    }


def again(asked: dict[str, Any]) -> str:
    """The command that goes on with a training."""
    words = ["gas", "train", "--out", str(asked["out"]), "--resume"]
    for name, usual in (("workers", 1), ("ray_address", None), ("device", "auto"), ("threads", 1), ("loaders", None)):
        if asked.get(name, usual) != usual:
            words += [f"--{name.replace('_', '-')}", str(asked[name])]
    return shlex.join(words)
