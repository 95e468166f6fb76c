"""Where proxies run: in process, or on Ray workers; one interface, and no candidate lost on either."""

from gas.evaluators._work import Outcome, Task, Work, at_rung
from gas.evaluators.base import EVALUATORS, Evaluator, create

__all__ = ["EVALUATORS", "Evaluator", "Outcome", "Task", "Work", "at_rung", "create"]
