"""Vetoes at a given rate, blind to the proposal: the control for any gate that vetoes as often."""

import hashlib

from llm_gate.contract import Label
from llm_gate.engines.base import Answer, Question, letter_of

_SCALE = 1 << 64


class RandomEngine:
    """Vetoes a share of proposals, shrinks another, approves the rest.

    The choice is a function of the seed and the proposal's id, so a rerun or a restart decides alike.
    """

    name = "random"
    by_case = False

    def __init__(self, *, seed: int, veto_rate: float, shrink_rate: float = 0.0) -> None:
        """Rates are shares of all proposals in [0, 1], together at most 1; ValueError otherwise."""
        if min(veto_rate, shrink_rate) < 0 or not veto_rate + shrink_rate <= 1:
            raise ValueError(f"rates must be shares of one whole: veto {veto_rate}, shrink {shrink_rate}")
        self._seed = seed
        self._rates: dict[Label, float] = {"veto": veto_rate, "shrink": shrink_rate}
        self.model = f"seed {seed}, veto {veto_rate:g}, shrink {shrink_rate:g}"

    async def decide(self, question: Question) -> Answer:
        """The letter that this proposal's draw falls on."""
        proposal_id = question.proposal.proposal_id
        label = self._label(self._draw(proposal_id))
        reason = "" if label == "approve" else "drawn at random, blind to the proposal"
        probabilities = {
            letter: self._rates.get(meaning, 1.0 - sum(self._rates.values()))
            for letter, meaning in question.letters.items()
        }
        return Answer(proposal_id, letter_of(label, question.letters), probabilities, reason, "code")

    def _draw(self, proposal_id: str) -> float:
        digest = hashlib.sha256(f"{self._seed}/{proposal_id}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / _SCALE

    def _label(self, draw: float) -> Label:
        if draw < self._rates["veto"]:
            return "veto"
        return "shrink" if draw < self._rates["veto"] + self._rates["shrink"] else "approve"
