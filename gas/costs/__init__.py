"""What a design costs: macs and params by formula and traced, memory traced, latency by measurement and by table."""

from gas.costs.analytic import cost
from gas.costs.latencies import latency
from gas.costs.measure import Ratio, Timing, pinned, ratio
from gas.costs.memory import Memory, memory
from gas.costs.profiles import Profile, make_profile, profile_path
from gas.costs.table import LatencyTable
from gas.costs.targets import TARGETS, Target
from gas.costs.traced import FvcoreCount, TracedCount, count_module, folded_count, fvcore_count, traced_count

__all__ = [
    "TARGETS",
    "FvcoreCount",
    "LatencyTable",
    "Memory",
    "Profile",
    "Ratio",
    "Target",
    "Timing",
    "TracedCount",
    "cost",
    "count_module",
    "folded_count",
    "fvcore_count",
    "latency",
    "make_profile",
    "memory",
    "pinned",
    "profile_path",
    "ratio",
    "traced_count",
]
