"""An alarm for a gate that says the same to everything; it changes nothing."""

from typing import NamedTuple

from llm_gate.contract import GateFailed, Outcome

WINDOW = 50
"""Verdicts of one kind in a row that raise the alarm."""


class Sameness(NamedTuple):
    """How many verdicts in a row were of one kind. Pure."""

    kind: str = ""
    verdicts: int = 0

    def after(self, outcome: Outcome) -> "Sameness":
        """With one outcome more; a failure is no verdict and neither counts nor interrupts."""
        if isinstance(outcome, GateFailed):
            return self
        return Sameness(outcome.kind, self.verdicts + 1 if outcome.kind == self.kind else 1)

    def alarming(self, outcome: Outcome, window: int = WINDOW) -> bool:
        """Whether ``outcome``, the last one counted, completes another ``window`` of equal verdicts."""
        return not isinstance(outcome, GateFailed) and self.verdicts > 0 and self.verdicts % window == 0
