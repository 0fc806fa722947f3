"""Asks a model to name the day and the market of a proposal from the facts it is shown, and scores the answers exactly.

The facts are blind, so a model should do no better than guessing. Where it does, the facts say more than they should,
and its verdicts may be memory. Each attribute is one question with one letter an option, so that a constrained server
can answer; the options are rotated from proposal to proposal, so that a love of one letter names nothing.
"""

from collections.abc import Awaitable, Callable, Iterable

from llm_gate.contract import EntryProposal
from llm_gate.engines.base import Turn
from llm_gate.evals.data.true_days import Attribute, Day, options_of, truth_of
from llm_gate.evals.scoring.day_scores import Named, score
from llm_gate.prompts.facts import facts_of

Ask = Callable[[tuple[Turn, ...], tuple[str, ...], str], Awaitable[str | None]]
"""(chat, letters, request id) -> the letter chosen, or None where there was no answer."""


def probe_chat(proposal: EntryProposal, attribute: Attribute, options: tuple[str, ...]) -> tuple[Turn, ...]:
    """The question, with every fact there is: more than any prompt shows."""
    offered = "\n".join(f"{letter} = {option}" for letter, option in zip(letters_of(options), options, strict=True))
    facts = "\n".join(f"{name.replace('_', ' ')}: {phrase}" for name, phrase in facts_of(proposal)._asdict().items())
    asked = "market" if attribute == "market" else f"{attribute} of the trading day"
    system = f"Name the {asked} from which these facts come. Answer with one letter.\n{offered}"
    return Turn("system", system), Turn("user", facts)


def letters_of(options: tuple[str, ...]) -> tuple[str, ...]:
    """One capital letter an option."""
    return tuple(chr(ord("A") + at) for at in range(len(options)))


async def name_the_day(
    ask: Ask, known: Iterable[tuple[EntryProposal, Day]], attributes: Iterable[Attribute] = ("weekday", "market")
) -> list[Named]:
    """Ask each attribute of each of ``known`` once, one after the other; the score of each attribute.

    Give one proposal a session: several of one day are not independent. An attribute with one option only, as the year
    of a recording within one year, says nothing and is left out.
    """
    pairs = list(known)
    scores = []
    for attribute in attributes:
        options = options_of(attribute, [day for _, day in pairs]) if pairs else ()
        if len(options) < 2:
            continue
        named = [await _named(ask, proposal, attribute, options) for proposal, _ in pairs]
        scores.append(score(attribute, named, [truth_of(day, attribute) for _, day in pairs], len(options)))
    return scores


def poll(
    proposal: EntryProposal, attribute: Attribute, options: tuple[str, ...]
) -> tuple[tuple[Turn, ...], dict[str, str]]:
    """The question with its options rotated by the proposal, and what each letter then means."""
    turn = int(proposal.proposal_id[:8], 16) % len(options)
    rotated = options[turn:] + options[:turn]
    return probe_chat(proposal, attribute, rotated), dict(zip(letters_of(rotated), rotated, strict=True))


async def _named(ask: Ask, proposal: EntryProposal, attribute: Attribute, options: tuple[str, ...]) -> str | None:
    chat, meanings = poll(proposal, attribute, options)
    letter = await ask(chat, tuple(meanings), proposal.proposal_id)
    return meanings.get(letter or "")
