"""Where proxies run: in process, or on Ray workers; one interface, and no candidate lost on either."""

from gas.evaluators.base import EVALUATORS, Evaluator, Outcome, Work, create

__all__ = ["EVALUATORS", "Evaluator", "Outcome", "Work", "create"]
