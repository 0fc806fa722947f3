"""Naming the day: what a model is asked, and what counts as more than guessing."""

import asyncio
from collections.abc import Callable

import pytest

from llm_gate.contract import EntryProposal
from llm_gate.engines.base import Turn
from llm_gate.evals.asking.day_task import Ask, letters_of, name_the_day, probe_chat
from llm_gate.evals.data.true_days import Day, options_of
from llm_gate.evals.scoring.day_scores import score

ProposalMaker = Callable[..., EntryProposal]


def known(
    make_proposal: ProposalMaker, number: int, markets: tuple[str, ...] = ("NQ",)
) -> list[tuple[EntryProposal, Day]]:
    """Proposals of as many trading days, Monday to Friday in turn."""
    return [
        (
            make_proposal(proposal_id=f"{7919 * n:032x}"[-8:] * 4),
            Day(2025, 1 + n % 12, 1 + n % 28, n % 5, markets[n % len(markets)]),
        )
        for n in range(number)
    ]


def oracle(truths: dict[str, str]) -> Ask:
    """A model that knows the answer of each request."""

    async def ask(chat: tuple[Turn, ...], letters: tuple[str, ...], request_id: str) -> str | None:
        offered = dict(line.split(" = ") for line in chat[0].text.split("\n")[1:])
        return next(letter for letter in letters if offered[letter] == truths[request_id])

    return ask


def always(answer: str | None) -> Ask:
    """A model of one answer: a letter, or an option by its name."""

    async def ask(chat: tuple[Turn, ...], letters: tuple[str, ...], request_id: str) -> str | None:
        offered = {option: letter for letter, option in (line.split(" = ") for line in chat[0].text.split("\n")[1:])}
        return answer if answer is None else offered.get(answer, answer)

    return ask


def test_a_model_that_knows_the_day_is_found_out(make_proposal: ProposalMaker) -> None:
    days = known(make_proposal, 20)
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")

    (weekday,) = asyncio.run(
        name_the_day(oracle({p.proposal_id: names[d.weekday] for p, d in days}), days, ["weekday"])
    )

    assert (weekday.right, weekday.asked, weekday.answered) == (20, 20, 20)
    assert weekday.guessing == 0.2
    assert weekday.p_value == pytest.approx(0.2**20)


def test_a_love_of_one_letter_names_nothing(make_proposal: ProposalMaker) -> None:
    """Every day is a Monday, and the model always says A, which stands for Monday in one question of five."""
    mondays = [(proposal, day._replace(weekday=0)) for proposal, day in known(make_proposal, 200)]

    (weekday,) = asyncio.run(name_the_day(always("A"), mondays, ["weekday"]))

    assert 20 <= weekday.right <= 60
    assert weekday.p_value > 0.01


def test_a_love_of_one_option_names_nothing_where_every_truth_is_that(make_proposal: ProposalMaker) -> None:
    """All twenty right, and yet no evidence: the same answers would fit any other day of this market."""
    (market,) = asyncio.run(name_the_day(always("NQ"), known(make_proposal, 20), ["market"]))

    assert (market.right, market.unrelated, market.p_value) == (20, 1.0, 1.0)


def test_no_answer_counts_as_wrong(make_proposal: ProposalMaker) -> None:
    (weekday,) = asyncio.run(name_the_day(always(None), known(make_proposal, 10), ["weekday"]))

    assert (weekday.asked, weekday.answered, weekday.right, weekday.p_value) == (10, 0, 0, 1.0)


def test_the_p_value_is_that_of_the_binomial() -> None:
    """Two or more right of three at one in two: (3 + 1) / 8."""
    named = score("weekday", ["a", "b", None], ["a", "b", "a"], 2)

    assert (named.right, named.answered) == (2, 2)
    assert named.p_value == pytest.approx(0.5)


def test_one_option_is_no_question_and_no_proposals_no_score(make_proposal: ProposalMaker) -> None:
    assert asyncio.run(name_the_day(always("A"), known(make_proposal, 3), ["year"])) == []
    assert asyncio.run(name_the_day(always("A"), [], ["weekday"])) == []


def test_years_run_from_first_to_last_and_unknown_markets_are_added(make_proposal: ProposalMaker) -> None:
    days = [Day(2019, 1, 1, 0, "MNQ"), Day(2022, 12, 31, 4, "NQ")]

    assert options_of("year", days) == ("2019", "2020", "2021", "2022")
    assert options_of("market", days)[-1] == "MNQ"
    with pytest.raises(ValueError, match="at most 20"):
        options_of("year", [Day(1990, 1, 1, 0, "NQ"), Day(2022, 1, 1, 0, "NQ")])


@pytest.mark.parametrize(
    ("attribute", "option"), [("month", "September"), ("third", "days 11 to 20 of the month"), ("year", "2021")]
)
def test_each_attribute_has_its_truth(make_proposal: ProposalMaker, attribute: str, option: str) -> None:
    days = [(make_proposal(), Day(2021, 9, 20, 0, "NQ")), (make_proposal(), Day(2022, 9, 20, 0, "NQ"))][:1]
    days.append((make_proposal(proposal_id="f" * 32), Day(2020, 1, 31, 4, "NQ")))
    first = make_proposal().proposal_id

    (named,) = asyncio.run(name_the_day(oracle({first: option, "f" * 32: OTHERS[attribute]}), days, [attribute]))  # type: ignore[list-item]

    assert named.right == 2


OTHERS = {"month": "January", "third": "day 21 or later of the month", "year": "2020"}


def test_the_question_shows_every_fact_and_no_truth(make_proposal: ProposalMaker) -> None:
    chat = probe_chat(make_proposal(volume_percentile=7), "weekday", ("Monday", "Tuesday"))

    assert [turn.role for turn in chat] == ["system", "user"]
    assert "A = Monday\nB = Tuesday" in chat[0].text
    assert "volume: DRIED UP (percentile 7)" in chat[1].text
    assert letters_of(("Monday", "Tuesday")) == ("A", "B")
