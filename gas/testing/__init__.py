"""Conformance checks: whoever adds a pattern, generator, proxy or target calls the one that fits on its name."""

from gas.testing.generators import GENERATOR_CHECKS, check_generator
from gas.testing.patterns import PATTERN_CHECKS, check_pattern
from gas.testing.proxies import PROXY_CHECKS, check_proxy
from gas.testing.targets import TARGET_CHECKS, check_target

__all__ = [
    "GENERATOR_CHECKS",
    "PATTERN_CHECKS",
    "PROXY_CHECKS",
    "TARGET_CHECKS",
    "check_generator",
    "check_pattern",
    "check_proxy",
    "check_target",
]
