"""What the papers of the seeds claim about their speed, as pairs of designs of the zoo that can be measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One published comparison.

    Args:
        fast: Design of the zoo that is said to be ahead.
        slow: Design that it is compared with.
        what: `params`, `macs` or `speed` (time for the same images: slow / fast).
        factor: The published factor.
        where: Hardware, engine and batch that it was published for, as far as they are said.
        source: Where that was read.
        engine: Engine here that comes nearest (`cpu_eager`, `cpu_onnx`, `cuda_eager`); None where none does.
        batch: Batch here that comes nearest; None where the source does not say.
    """

    fast: str
    slow: str
    what: str
    factor: float
    where: str
    source: str
    engine: str | None = None
    batch: int | None = None


TURBOVIT = "arXiv 2308.11421, abstract"
EFFICIENTVIT = "arXiv 2305.07027, abstract"
SHVIT = "arXiv 2401.16456, table 2"
CLAIMS = (
    Claim("turbovit", "fastervit_0", "params", 2.47, "parameters", TURBOVIT),
    Claim("turbovit", "mobilevitv2_200", "macs", 3.4, "FLOPs", TURBOVIT),
    Claim(
        "turbovit", "fastervit_0", "speed", 3.21, "latency, low-latency scenario; hardware not said", TURBOVIT, None, 1
    ),
    Claim(
        "turbovit",
        "fastervit_0",
        "speed",
        3.18,
        "throughput, low-latency scenario; hardware not said",
        TURBOVIT,
        None,
        1,
    ),
    Claim(
        "efficientvit_m5",
        "mobilenetv3_large",
        "speed",
        1.452,
        "Intel Xeon CPU; batch not said",
        EFFICIENTVIT,
        "cpu_eager",
    ),
    Claim(
        "efficientvit_m5", "mobilenetv3_large", "speed", 1.404, "V100 GPU, batch 2048", EFFICIENTVIT, "cuda_eager", 2048
    ),
    Claim(
        "efficientvit_m2", "mobilevit_xxs", "speed", 3.7, "Intel Xeon CPU; batch not said", EFFICIENTVIT, "cpu_eager"
    ),
    Claim("efficientvit_m2", "mobilevit_xxs", "speed", 5.8, "V100 GPU, batch 2048", EFFICIENTVIT, "cuda_eager", 2048),
    Claim(
        "efficientvit_m2", "mobilevit_xxs", "speed", 7.4, "as ONNX; device and batch not said", EFFICIENTVIT, "cpu_onnx"
    ),
    Claim(
        "efficientvit_m5",
        "mobilenetv3_large",
        "speed",
        64 / 43,
        "Xeon 5218R, one thread, batch 16",
        SHVIT,
        "cpu_eager",
        16,
    ),
    Claim("efficientvit_m5", "mobilenetv3_large", "speed", 456 / 613, "the same as ONNX", SHVIT, "cpu_onnx", 16),
    Claim(
        "efficientvit_m2",
        "mobilevit_xxs",
        "speed",
        147 / 21,
        "Xeon 5218R, one thread, batch 16",
        SHVIT,
        "cpu_eager",
        16,
    ),
    Claim("efficientvit_m2", "mobilevit_xxs", "speed", 781 / 170, "the same as ONNX", SHVIT, "cpu_onnx", 16),
    Claim("shvit_s4", "mobilevitv2_100", "speed", 36 / 7, "Xeon 5218R, one thread, batch 16", SHVIT, "cpu_eager", 16),
    Claim(
        "shvit_s4",
        "mobilevitv2_100",
        "speed",
        8.1,
        "the same as ONNX (the abstract's 8.1x on CPU)",
        SHVIT,
        "cpu_onnx",
        16,
    ),
    Claim(
        "swiftformer_s",
        "mobilevitv2_100",
        "speed",
        2.0,
        "iPhone 14 Neural Engine; which MobileViTv2 is not said",
        "arXiv 2303.15446, abstract",
    ),
    Claim(
        "fastvit_sa24",
        "convnext_tiny",
        "speed",
        1.9,
        "iPhone 12 Pro; said of equal accuracy (the paper's pair is larger)",
        "arXiv 2303.14189, abstract",
    ),
    Claim(
        "fastvit_t8",
        "efficientnet_b0",
        "speed",
        4.9,
        "iPhone 12 Pro; said of equal accuracy (the paper's pair is larger)",
        "arXiv 2303.14189, abstract",
    ),
)
PAIRS = tuple(dict.fromkeys((c.fast, c.slow) for c in CLAIMS))
