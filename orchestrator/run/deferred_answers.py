"""Answerers that start at the first question that the journal cannot answer."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from llm_gate.contract import EntryProposal, Reviewed
from orchestrator.run.broker_questions import BrokerAnswer, BrokerAsked
from orchestrator.run.runner import Answerers, AsksBroker, Fed
from orchestrator.trader.state import PolicyAnswered


class DeferredAnswers:
    """Answerers that start at the first question that the journal cannot answer."""

    def __init__(self, made_ready: Callable[[], Answerers]) -> None:
        """``made_ready`` is called once; it may take minutes and raise StopAskedError."""
        self._made_ready = made_ready
        self._answerers: Answerers | None = None

    def next_bar(self, seq: int) -> Fed:
        """The bar numbered ``seq``, or what else there is before it; None at the end."""
        return self._ready().next_bar(seq)

    def act(self, bar_seq: int, observation: npt.NDArray[np.float32], legal: tuple[bool, ...]) -> PolicyAnswered:
        """The policy's action."""
        return self._ready().act(bar_seq, observation, legal)

    def review(self, proposal: EntryProposal) -> Reviewed:
        """The gate's outcome."""
        return self._ready().review(proposal)

    def ask_broker(self, asked: BrokerAsked) -> BrokerAnswer:
        """The broker's answer."""
        answerers = self._ready()
        assert isinstance(answerers, AsksBroker), "a run that sends its orders has a broker"
        return answerers.ask_broker(asked)

    def _ready(self) -> Answerers:
        if self._answerers is None:
            self._answerers = self._made_ready()
        return self._answerers
