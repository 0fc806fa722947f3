"""What a model folder says of proposals, its letters computed from hidden states and not served."""

from collections.abc import Iterable

import numpy as np

from llm_gate.contract import EntryProposal, Label
from llm_gate.engines.base import Turn
from llm_gate.prompts.prompt_files import Prompt
from llm_gate.review.calibrated_verdict import CalibrationFile
from llm_gate.teaching.fit_head import chances_of
from llm_gate.teaching.hidden_states import Reader, Step
from llm_gate.teaching.states_file import StatesFile


class ComputedLetters:
    """Judges as a gate with this model, prompt and calibration does; a question is answered once."""

    def __init__(self, reader: Reader, prompt: Prompt, kept: StatesFile, calibration: CalibrationFile | None) -> None:
        """Judge with the model of ``reader``, whose states are looked for and kept in ``kept``.

        Raises:
            RequestError: the prompt is not written for the mode choice, or a letter is not a token of this model.
        """
        prompt.refuse_mode("choice")
        self._reader, self._prompt, self._kept, self._calibration = reader, prompt, kept, calibration
        self._letters = reader.letters(prompt.front.letters)
        self._rows = self._letters.rows.astype(np.float64)
        self._said: dict[tuple[Turn, ...], Label] = {}

    def judge_all(self, proposals: Iterable[EntryProposal], step: Step) -> None:
        """Find the labels of many proposals together, which takes less time than one by one."""
        asked = {self._prompt.render(proposal): None for proposal in proposals}
        new = [chat for chat in asked if chat not in self._said]
        if not new:
            return
        states = self._reader.states(new, self._kept, step)
        for chat, chances in zip(new, chances_of(states, self._rows), strict=True):
            self._said[chat] = self._label(dict(zip(self._letters.labels, chances.tolist(), strict=True)))

    def judge(self, proposal: EntryProposal) -> Label:
        """What is done with ``proposal``."""
        self.judge_all([proposal], lambda done, total: None)
        return self._said[self._prompt.render(proposal)]

    def _label(self, chances: dict[Label, float]) -> Label:
        if self._calibration is None:
            return max(chances, key=lambda label: chances[label])
        kinds: dict[str, Label] = {"approve": "approve", "resize": "shrink", "veto": "veto"}
        return kinds[self._calibration.rule(chances["approve"]).verdict.kind]
