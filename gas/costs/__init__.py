"""What a design costs: macs and params by formula, the same by tracing, latency by measurement and by table."""

from gas.costs.analytic import cost
from gas.costs.latencies import latency
from gas.costs.measure import Ratio, Timing, pinned, ratio
from gas.costs.table import LatencyTable
from gas.costs.targets import TARGETS, Target
from gas.costs.traced import FvcoreCount, TracedCount, count_module, folded_count, fvcore_count, traced_count

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
    "folded_count",
    "fvcore_count",
    "latency",
    "pinned",
    "ratio",
    "traced_count",
]
