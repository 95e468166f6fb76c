"""What a design costs: macs and params by formula, the same by tracing, latency by measurement and by table."""

from gas.cost.analytic import cost
from gas.cost.latencies import latency
from gas.cost.measure import Ratio, Timing, pinned, ratio
from gas.cost.table import LatencyTable
from gas.cost.targets import TARGETS, Target
from gas.cost.traced import FvcoreCount, TracedCount, count_module, fvcore_count, traced_count

__all__ = [
    "TARGETS",
    "FvcoreCount",
    "LatencyTable",
    "Ratio",
    "Target",
    "Timing",
    "TracedCount",
    "cost",
    "count_module",
    "fvcore_count",
    "latency",
    "pinned",
    "ratio",
    "traced_count",
]
