"""Naming the day: what a model is asked, and what counts as more than guessing."""

from collections.abc import Callable

import pytest

from llm_gate.contract import EntryProposal
from llm_gate.evals.asking.day_task import day_chat, day_question, letters_of
from llm_gate.evals.data.true_days import Attribute, Day, options_of, right_option
from llm_gate.evals.scoring.day_scores import NamingScore, naming_score

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


Model = Callable[[dict[str, str], str], str | None]
"""Options by their letters, and a proposal's id, to the letter chosen, or None for no answer."""


def oracle(truths: dict[str, str]) -> Model:
    """A model that knows the answer about each proposal."""

    def answer(options: dict[str, str], proposal_id: str) -> str | None:
        return next(letter for letter, option in options.items() if option == truths[proposal_id])

    return answer


def always(choice: str | None) -> Model:
    """A model of one answer: a letter, or an option by its name."""

    def answer(options: dict[str, str], proposal_id: str) -> str | None:
        return next((letter for letter, option in options.items() if option == choice), choice)

    return answer


def score_of(model: Model, days: list[tuple[EntryProposal, Day]], attribute: Attribute) -> NamingScore:
    """What ``model`` gets for its answers to the question about each proposal."""
    options = options_of(attribute, [day for _, day in days])
    answers = []
    for proposal, _ in days:
        _, meanings = day_question(proposal, attribute, options)
        answers.append(meanings.get(model(meanings, proposal.proposal_id) or ""))
    return naming_score(attribute, answers, [right_option(day, attribute) for _, day in days], len(options))


def test_a_model_that_knows_the_day_is_found_out(make_proposal: ProposalMaker) -> None:
    days = known(make_proposal, 20)
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")

    weekday = score_of(oracle({p.proposal_id: names[d.weekday] for p, d in days}), days, "weekday")

    assert (weekday.right, weekday.asked, weekday.answered) == (20, 20, 20)
    assert weekday.guessing == 0.2
    assert weekday.p_value == pytest.approx(0.2**20)


def test_a_love_of_one_letter_names_nothing(make_proposal: ProposalMaker) -> None:
    """Every day is a Monday, and the model always says A, which stands for Monday in one question of five."""
    mondays = [(proposal, day._replace(weekday=0)) for proposal, day in known(make_proposal, 200)]

    weekday = score_of(always("A"), mondays, "weekday")

    assert 20 <= weekday.right <= 60
    assert weekday.p_value > 0.01


def test_a_love_of_one_option_names_nothing_where_every_truth_is_that(make_proposal: ProposalMaker) -> None:
    """All twenty right, and yet no evidence: the same answers would fit any other day of this market."""
    market = score_of(always("NQ"), known(make_proposal, 20), "market")

    assert (market.right, market.unrelated, market.p_value) == (20, 1.0, 1.0)


def test_no_answer_counts_as_wrong(make_proposal: ProposalMaker) -> None:
    weekday = score_of(always(None), known(make_proposal, 10), "weekday")

    assert (weekday.asked, weekday.answered, weekday.right, weekday.p_value) == (10, 0, 0, 1.0)


def test_the_p_value_is_that_of_the_binomial() -> None:
    """Two or more right of three at one in two: (3 + 1) / 8."""
    named = naming_score("weekday", ["a", "b", None], ["a", "b", "a"], 2)

    assert (named.right, named.answered) == (2, 2)
    assert named.p_value == pytest.approx(0.5)


def test_years_run_from_first_to_last_and_unknown_markets_are_added(make_proposal: ProposalMaker) -> None:
    days = [Day(2019, 1, 1, 0, "MNQ"), Day(2022, 12, 31, 4, "NQ")]

    assert options_of("year", days) == ("2019", "2020", "2021", "2022")
    assert options_of("market", days)[-1] == "MNQ"
    with pytest.raises(ValueError, match="at most 20"):
        options_of("year", [Day(1990, 1, 1, 0, "NQ"), Day(2022, 1, 1, 0, "NQ")])


@pytest.mark.parametrize(
    ("attribute", "option"), [("month", "September"), ("third", "days 11 to 20 of the month"), ("year", "2021")]
)
def test_each_attribute_has_its_truth(make_proposal: ProposalMaker, attribute: Attribute, option: str) -> None:
    days = [(make_proposal(), Day(2021, 9, 20, 0, "NQ")), (make_proposal(), Day(2022, 9, 20, 0, "NQ"))][:1]
    days.append((make_proposal(proposal_id="f" * 32), Day(2020, 1, 31, 4, "NQ")))
    first = make_proposal().proposal_id

    named = score_of(oracle({first: option, "f" * 32: OTHERS[attribute]}), days, attribute)

    assert named.right == 2


OTHERS = {"month": "January", "third": "day 21 or later of the month", "year": "2020"}


def test_the_question_shows_every_fact_and_no_truth(make_proposal: ProposalMaker) -> None:
    chat = day_chat(make_proposal(volume_percentile=7), "weekday", ("Monday", "Tuesday"))

    assert [turn.role for turn in chat] == ["system", "user"]
    assert "A = Monday\nB = Tuesday" in chat[0].text
    assert "volume: DRIED UP (percentile 7)" in chat[1].text
    assert letters_of(("Monday", "Tuesday")) == ("A", "B")
