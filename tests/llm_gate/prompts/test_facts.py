"""Facts in words: where each word begins, that a proposal stays blind, and how long a phrase can become."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_gate.contract import LARGEST, EntryProposal, RegimeContext
from llm_gate.prompts.facts import Facts, facts_of, longest_facts

ProposalMaker = Callable[..., EntryProposal]

MIRRORED = ("trend_15_atr_milli", "trend_60_atr_milli", "trend_240_atr_milli", "vwap_atr_milli")


@pytest.mark.parametrize(
    ("side", "trend", "words"),
    [
        ("buy", 500, "with"),
        ("buy", 499, "flat"),
        ("buy", -499, "flat"),
        ("buy", -500, "AGAINST"),
        ("sell", 500, "AGAINST"),
        ("sell", -500, "with"),
    ],
)
def test_a_trend_is_seen_from_the_side_of_the_trade(
    make_proposal: ProposalMaker, side: str, trend: int, words: str
) -> None:
    facts = facts_of(make_proposal(side=side, trend_60_atr_milli=trend))

    assert facts.trend_60 == words


@pytest.mark.parametrize(
    ("context", "fact", "words"),
    [
        ({"volume_percentile": 10}, "volume", "DRIED UP (percentile 10)"),
        ({"volume_percentile": 11}, "volume", "thin (percentile 11)"),
        ({"volume_percentile": 26}, "volume", "usual (percentile 26)"),
        ({"volume_percentile": 76}, "volume", "heavy (percentile 76)"),
        ({"volume_percentile": 96}, "volume", "VERY HEAVY (percentile 96)"),
        ({"to_session_high_atr_milli": 500}, "extreme_ahead", "AT IT (0.5 ATR)"),
        ({"to_session_high_atr_milli": 501}, "extreme_ahead", "near (0.5 ATR)"),
        ({"to_session_high_atr_milli": 2001}, "extreme_ahead", "away (2.0 ATR)"),
        ({"to_session_low_atr_milli": 0}, "extreme_behind", "AT IT (0.0 ATR)"),
        ({"to_session_high_atr_milli": 500}, "path", "at the session's extreme"),
        ({"to_session_high_atr_milli": 4499}, "path", "the session's extreme is in the way"),
        ({"to_session_high_atr_milli": 4500}, "path", "clear to the target"),
        ({"vwap_atr_milli": -1000}, "vwap", "AT IT (1.0 ATR)"),
        ({"vwap_atr_milli": 1001}, "vwap", "on the trade side (1.0 ATR)"),
        ({"vwap_atr_milli": -10_000}, "vwap", "on the other side (10.0 ATR)"),
        ({"vwap_atr_milli": 10_001}, "vwap", "STRETCHED, the trade chases (10.0 ATR)"),
        ({"vwap_atr_milli": -12_300}, "vwap", "STRETCHED, the trade goes back to it (12.3 ATR)"),
        ({"wild_percent": 20}, "hidden", "quiet (20 percent)"),
        ({"wild_percent": 21}, "hidden", "unsettled (21 percent)"),
        ({"wild_percent": 51}, "hidden", "likely WILD (51 percent)"),
        ({"wild_percent": 81}, "hidden", "WILD (81 percent)"),
        ({"minutes_to_flat": 15}, "clock", "MINUTES LEFT"),
        ({"minutes_to_flat": 45}, "clock", "UNDER AN HOUR"),
        ({"minutes_to_flat": 46}, "clock", "about an hour"),
        ({"minutes_to_flat": 91}, "clock", "two to three hours"),
        ({"minutes_to_flat": 181}, "clock", "most of the day"),
        ({"losing_streak": 0}, "losses", "none"),
        ({"losing_streak": 1}, "losses", "1"),
        ({"losing_streak": 5}, "losses", "5 in a row"),
        ({"losing_streak": 6}, "losses", "6 in a row, LONG"),
    ],
)
def test_each_word_begins_where_it_should(
    make_proposal: ProposalMaker, context: dict[str, int], fact: str, words: str
) -> None:
    assert getattr(facts_of(make_proposal(**context)), fact) == words


def test_what_is_not_known_is_said_to_be_unknown(make_proposal: ProposalMaker) -> None:
    facts = facts_of(make_proposal())

    assert {facts.volume, facts.extreme_ahead, facts.extreme_behind, facts.path, facts.vwap, facts.hidden} == {
        "unknown"
    }


def test_the_phrases_of_prompts_in_use_never_change(make_proposal: ProposalMaker) -> None:
    facts = facts_of(make_proposal(room_to_floor_risks_milli=3999, minutes_to_flat=45, losing_streak=6))

    assert facts[:11] == (
        "BUY 4",
        "stop 1.5 ATR, target 4.5 ATR",
        "with",
        "with",
        "with",
        "normal (percentile 40)",
        "up, calm",
        "midday",
        "LITTLE (45 minutes)",
        "narrow (3.9 times the risk)",
        "6",
    )


def test_a_single_contract_is_said_to_be_one(make_proposal: ProposalMaker) -> None:
    several = make_proposal()

    assert facts_of(several).size == "4 contracts"
    assert facts_of(several.model_copy(update={"quantity": 1})).size == "1 contract, which cannot be halved"


numbers = st.integers(-LARGEST, LARGEST)
counts = st.integers(0, LARGEST)
percents = st.integers(0, 100)
contexts = st.builds(
    RegimeContext,
    trend_15_atr_milli=numbers,
    trend_60_atr_milli=numbers,
    trend_240_atr_milli=numbers,
    volatility_percentile=percents,
    regime=st.from_regex(r"\A(down|flat|up)/(calm|normal|wild)\Z"),
    session_part=st.sampled_from(["opening", "midday", "afternoon", "late"]),
    minutes_to_flat=counts,
    room_to_floor_risks_milli=numbers,
    losing_streak=counts,
    volume_percentile=st.none() | percents,
    to_session_high_atr_milli=st.none() | counts,
    to_session_low_atr_milli=st.none() | counts,
    vwap_atr_milli=st.none() | numbers,
    wild_percent=st.none() | percents,
)
proposals = st.builds(
    EntryProposal,
    proposal_id=st.just("0" * 32),
    side=st.sampled_from(["buy", "sell"]),
    quantity=st.integers(1, LARGEST),
    stop_atr_milli=st.integers(1, LARGEST),
    target_atr_milli=st.integers(1, LARGEST),
    context=contexts,
)


@settings(max_examples=300, deadline=None)
@given(proposals)
def test_no_phrase_is_longer_than_the_longest(proposal: EntryProposal) -> None:
    longer = [
        name
        for name, phrase, longest in zip(Facts._fields, facts_of(proposal), longest_facts(), strict=True)
        if len(phrase) > len(longest)
    ]

    assert longer == []


@settings(max_examples=200, deadline=None)
@given(proposals)
def test_a_sale_in_a_mirrored_market_reads_like_the_buy(proposal: EntryProposal) -> None:
    """But for the order itself and the causal regime, which are told from the market's side."""
    context = proposal.context
    mirror = {name: None if (value := getattr(context, name)) is None else -value for name in MIRRORED}
    mirror["to_session_high_atr_milli"] = context.to_session_low_atr_milli
    mirror["to_session_low_atr_milli"] = context.to_session_high_atr_milli
    other = proposal.model_copy(
        update={
            "side": "sell" if proposal.side == "buy" else "buy",
            "context": context.model_copy(update=mirror),
        }
    )

    assert facts_of(other)._replace(order="") == facts_of(proposal)._replace(order="")
