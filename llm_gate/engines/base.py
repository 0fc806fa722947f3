"""What every engine is asked and what it gives back."""

from decimal import Decimal
from typing import Literal, NamedTuple, Protocol

from llm_gate.contract import EntryProposal, Label, Mode, ReasonSource

Role = Literal["system", "user", "assistant"]
TemplateValue = bool | int | float | str
"""What a model's chat template may be told beside a chat: that it is not to think, say."""

SERVED_NAME = "gate"
"""The name under which a server that we start serves its model."""

SUM_TOLERANCE = 1e-3
"""How far the probabilities of the letters may miss 1: a server rounds the logarithm of each to float32."""


class Turn(NamedTuple):
    """One message of a chat."""

    role: Role
    text: str


class Question(NamedTuple):
    """One proposal, as data and as the chat a model reads."""

    proposal: EntryProposal
    prompt: tuple[Turn, ...]
    letters: dict[str, Label]
    """One letter for each label, in the order the prompt introduces them."""
    mode: Mode = "choice"
    """How a model is asked; engines without a model ignore it."""


class Answer(NamedTuple):
    """What an engine said, not yet checked against the question."""

    proposal_id: str
    letter: str
    probabilities: dict[str, float] | None
    """By letter, or None where the engine has none."""
    reason: str
    reason_source: ReasonSource
    size_factor: Decimal | None = None
    """Share of the proposed contracts that a shrink asks for; None is what the gate's configuration says."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Engine(Protocol):
    """Chooses one letter. Raises an EngineError when it cannot; the gate puts the deadline around it."""

    @property
    def name(self) -> str:
        """The kind of engine, as the journal records it."""
        ...

    @property
    def model(self) -> str:
        """What decides inside the engine: a model's name and digest, or a rule's version."""
        ...

    @property
    def by_case(self) -> bool:
        """Whether the answer depends on the case alone, so that equal cases may share one."""
        ...

    async def decide(self, question: Question) -> Answer:
        """Choose a letter of ``question.letters``."""
        ...


def letter_of(label: Label, letters: dict[str, Label]) -> str:
    """The letter that stands for ``label``."""
    return next(letter for letter, meaning in letters.items() if meaning == label)
