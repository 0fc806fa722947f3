"""The question that asks a model to name the day or the market of a proposal from the facts it is shown.

The facts are blind, so a model should do no better than guessing. Where it does, the facts say more than they should,
and its verdicts may be memory. Each attribute is one question with one letter an option, so that a constrained server
can answer; the options are rotated from proposal to proposal, so that a love of one letter names nothing.
"""

from llm_gate.contract import EntryProposal
from llm_gate.engines.base import Turn
from llm_gate.evals.data.true_days import Attribute
from llm_gate.prompts.facts import facts_of


def day_chat(proposal: EntryProposal, attribute: Attribute, options: tuple[str, ...]) -> tuple[Turn, ...]:
    """The chat that asks for one attribute of the day, with every fact there is: more than any prompt shows."""
    offered = "\n".join(f"{letter} = {option}" for letter, option in zip(letters_of(options), options, strict=True))
    facts = "\n".join(f"{name.replace('_', ' ')}: {phrase}" for name, phrase in facts_of(proposal)._asdict().items())
    asked = "market" if attribute == "market" else f"{attribute} of the trading day"
    system = f"Name the {asked} from which these facts come. Answer with one letter.\n{offered}"
    return Turn("system", system), Turn("user", facts)


def letters_of(options: tuple[str, ...]) -> tuple[str, ...]:
    """One capital letter for each option, from A on."""
    return tuple(chr(ord("A") + at) for at in range(len(options)))


def day_question(
    proposal: EntryProposal, attribute: Attribute, options: tuple[str, ...]
) -> tuple[tuple[Turn, ...], dict[str, str]]:
    """The question with its options rotated by the proposal, and what each letter then means."""
    turn = int(proposal.proposal_id[:8], 16) % len(options)
    rotated = options[turn:] + options[:turn]
    return day_chat(proposal, attribute, rotated), dict(zip(letters_of(rotated), rotated, strict=True))
