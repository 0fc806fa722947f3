"""When a run that should stop does so: at once, or once what is open has been closed."""

from collections.abc import Callable
from typing import Literal

from orchestrator.clock import Deadline
from orchestrator.run.control import Control
from orchestrator.run.runner import StopAskedError
from trigate.errors import ProcessNotReadyError

OnShutdown = Literal["hold", "flatten"]
FLATTEN_WITHIN_S = 2.0
"""A run that flattens before it stops waits so long for the bar that closes its position."""


class Stopping:
    """Looks between two bars, and while anything is waited for, whether the run should stop now."""

    def __init__(self, asked: Callable[[], bool], control: Control, on_shutdown: OnShutdown) -> None:
        """``asked`` says whether somebody wants the run to stop; ``control`` is told to flatten first, if it should."""
        self._asked, self._control, self._flattens = asked, control, on_shutdown == "flatten"
        self._deadline: Deadline | None = None
        self._given_up: ProcessNotReadyError | None = None

    def due(self, *, holds: bool) -> bool:
        """Whether the run stops before its next bar; ``holds``: it has a position or a working order.

        Raises:
            ProcessNotReadyError: a worker was given up, and nothing is open any more.
        """
        if self._given_up is not None and not holds:
            raise self._given_up
        if not self._asked():
            return False
        if not (self._flattens and holds):
            return True
        self._control.overridden = "flat"
        return self._late()

    def give_up(self, error: ProcessNotReadyError) -> None:
        """A worker cannot be brought back: take no further entry, close what is open, and then stop with ``error``."""
        self._given_up = self._given_up or error
        self._control.overridden = "flat"

    def check(self) -> None:
        """While something is waited for: raise StopAskedError if the run should not wait any longer."""
        if self._asked() and (not self._flattens or self._late()):
            raise StopAskedError

    def _late(self) -> bool:
        self._deadline = self._deadline or Deadline(FLATTEN_WITHIN_S)
        return self._deadline.expired
