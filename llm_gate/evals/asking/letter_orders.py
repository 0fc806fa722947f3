"""The same prompt with other letters for its labels: a model that judges says the same under every one."""

import re
from itertools import permutations

from llm_gate.contract import Label
from llm_gate.engines.base import Turn
from llm_gate.prompts.prompt_files import Prompt

ORDERS = tuple(permutations(range(3)))
"""Which letter stands where each of the three stood; the first is the prompt's own."""


def reordered(prompt: Prompt, order: int) -> Prompt:
    """``prompt`` with its letters exchanged by ``ORDERS[order]``, in its instructions and its examples alike."""
    letters = list(prompt.front.letters)
    new = {letter: letters[place] for letter, place in zip(letters, ORDERS[order], strict=True)}
    meanings: dict[str, Label] = {new[letter]: label for letter, label in prompt.front.letters.items()}
    # A capital A is an article where a word follows it.
    standing = re.compile(rf"\b[{''.join(letters)}]\b(?!['’]|\s+(?!or\b|and\b|if\b|when\b|means\b|for\b)[a-z])")

    def exchanged(text: str) -> str:
        return standing.sub(lambda letter_match: new[letter_match[0]], text)

    return prompt._replace(
        front=prompt.front.model_copy(update={"letters": {letter: meanings[letter] for letter in sorted(meanings)}}),
        examples=tuple(Turn(turn.role, exchanged(turn.text)) for turn in prompt.examples),
        case=exchanged(prompt.case),
    )
