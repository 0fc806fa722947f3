"""Asks a model to name the day and the market of a proposal from the facts it is shown, and scores the answers exactly.

The facts are blind, so a model should do no better than guessing. Where it does, the facts say more than they should,
and its verdicts may be memory. Each attribute is one question with one letter an option, so that a constrained server
can answer; the options are rotated from proposal to proposal, so that a love of one letter names nothing.
"""

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from llm_gate.contract import EntryProposal
from llm_gate.engines.base import Turn
from llm_gate.prompts.facts import facts_of

Attribute = Literal["year", "month", "third", "weekday", "market"]

_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October")
_OPTIONS: dict[Attribute, tuple[str, ...]] = {
    "month": (*_MONTHS, "November", "December"),
    "third": ("days 1 to 10 of the month", "days 11 to 20 of the month", "day 21 or later of the month"),
    "weekday": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"),
    "market": ("ES", "NQ", "YM", "RTY", "GC", "CL"),
}
_MOST_OPTIONS = 20
"""A server gives the probabilities of no more letters than this."""

Ask = Callable[[tuple[Turn, ...], tuple[str, ...], str], Awaitable[str | None]]
"""(chat, letters, request id) -> the letter chosen, or None where there was no answer."""


class Day(NamedTuple):
    """Where a proposal really comes from. Known to the scorer alone."""

    year: int
    month: int
    day: int
    weekday: int
    """0 is Monday; the exchange's trading days are 0 to 4."""
    market: str


class Named(NamedTuple):
    """How often a model named one attribute."""

    attribute: Attribute
    asked: int
    answered: int
    right: int
    guessing: float
    """Share right of a model that guesses: 1 over the options."""
    unrelated: float
    """Share right if the answers were dealt at random: high where one option is loved and most truths are it."""
    p_value: float
    """Probability of as many right at the larger of the two shares; no answer counts as wrong."""


def options_of(attribute: Attribute, days: Iterable[Day]) -> tuple[str, ...]:
    """What a model may choose from, years and markets as ``days`` need them.

    Raises:
        ValueError: more options than letters.
    """
    if attribute == "year":
        years = [day.year for day in days]
        options = tuple(str(year) for year in range(min(years), max(years) + 1))
    elif attribute == "market":
        known = _OPTIONS["market"]
        options = (*known, *sorted({day.market for day in days} - set(known)))
    else:
        options = _OPTIONS[attribute]
    if len(options) > _MOST_OPTIONS:
        raise ValueError(f"{attribute}: {len(options)} options; one question tells at most {_MOST_OPTIONS} apart")
    return options


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


def score(attribute: Attribute, named: Sequence[str | None], truths: Sequence[str], options: int) -> Named:
    """Right answers against guessing among ``options``; exact binomial, one-sided."""
    right = sum(answer == truth for answer, truth in zip(named, truths, strict=True))
    answered = sum(answer is not None for answer in named)
    guessing, unrelated = 1.0 / options, _unrelated(named, truths)
    p_value = _at_least(right, len(truths), max(guessing, unrelated))
    return Named(attribute, len(truths), answered, right, guessing, unrelated, p_value)


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


def _unrelated(named: Sequence[str | None], truths: Sequence[str]) -> float:
    """Expected share right when the answers are dealt at random: the chance agreement of Cohen's kappa (1960)."""
    answers, days = Counter(named), Counter(truths)
    return sum(answers[option] * days[option] for option in days) / len(truths) ** 2 if truths else 0.0


def truth_of(day: Day, attribute: Attribute) -> str:
    """The option that is right."""
    match attribute:
        case "year":
            return str(day.year)
        case "month":
            return _OPTIONS["month"][day.month - 1]
        case "third":
            return _OPTIONS["third"][min(2, (day.day - 1) // 10)]
        case "weekday":
            return _OPTIONS["weekday"][day.weekday]
        case "market":
            return day.market


def _at_least(right: int, asked: int, chance: float) -> float:
    """Probability of ``right`` or more in ``asked`` independent answers."""
    if chance >= 1.0 or right == 0:
        return 1.0
    terms = (
        math.exp(
            math.lgamma(asked + 1)
            - math.lgamma(k + 1)
            - math.lgamma(asked - k + 1)
            + k * math.log(chance)
            + (asked - k) * math.log1p(-chance)
        )
        for k in range(right, asked + 1)
    )
    return min(1.0, math.fsum(terms))
