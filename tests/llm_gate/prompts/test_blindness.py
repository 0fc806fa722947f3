"""What gives the day or the market away is found; what a trader has to say about a setup is not."""

from pathlib import Path

import pytest

from llm_gate.prompts.blindness import ROOTS, giveaways, giveaways_in_file
from llm_gate.prompts.facts import longest_facts
from llm_gate.prompts.prompt_files import prompt_paths, prompts_folder
from rl_core.exchange.instruments import INSTRUMENTS


@pytest.mark.parametrize(
    ("text", "word", "kind"),
    [
        ("on 2025-04-09 it fell", "2025-04-09", "a date"),
        ("since 9/11/2001", "9/11/2001", "a date"),
        ("on 9.4.25", "9.4.25", "a date"),
        ("back in 2020 it held", "2020", "a year"),
        ("the class of '87", "'87", "a year"),
        ("a typical OCTOBER", "OCTOBER", "a month"),
        ("on Apr the ninth", "Apr", "a month"),
        ("in May it falls", "May", "a month"),
        ("from March on", "March", "a month"),
        ("summer trading", "summer", "a season"),
        ("a black monday", "monday", "a weekday"),
        ("every Fri it", "Fri", "a weekday"),
        ("the Q3 rebalance", "Q3", "a quarter or week"),
        ("at 9:31 it broke", "9:31", "a time of day"),
        ("by 3 pm", "3 pm", "a time of day"),
        ("the GMT close", "GMT", "a time of day"),
        ("long NQH6 here", "NQH6", "a contract"),
        ("roll into ESZ25", "ESZ25", "a contract"),
        ("short M2KU26", "M2KU26", "a contract"),
        ("NQ is weak", "NQ", "a symbol"),
        ("sell /ES now", "/ES", "a symbol"),
        ("mnq scalps", "mnq", "a symbol"),
        ("the Nasdaq leads", "Nasdaq", "a market"),
        ("S&P futures", "S&P", "a market"),
        ("crude is up", "crude", "a market"),
        ("on Globex", "Globex", "a market"),
        ("into Thanksgiving", "Thanksgiving", "a holiday"),
        ("an early close", "early close", "a holiday"),
        ("before FOMC", "FOMC", "an event"),
        ("after the cpi print", "cpi", "an event"),
        ("non-farm payrolls", "non-farm", "an event"),
        ("at 22,655.25", "22,655.25", "a price"),
        ("at 22655", "22655", "a price"),
        ("at 22655pts", "22655", "a price"),
        ("nq22655", "nq22655", "a contract"),
        ("at 226.55", "226.55", "a price"),
        ("the Ｎ\u200bＱ", "NQ", "a symbol"),
        ("Mon\u00adday", "Monday", "a weekday"),
        ("sell\tNQ\x0bnow", "NQ", "a symbol"),
        ("9" * 5000, "9" * 5000, "a price"),
    ],
)
def test_a_word_that_gives_the_day_or_the_market_away_is_named(text: str, word: str, kind: str) -> None:
    found = giveaways(f"all is well\n{text}")

    assert (found[0].line, found[0].word, found[0].kind) == (2, word, kind)


@pytest.mark.parametrize("symbol", sorted(INSTRUMENTS))
def test_every_contract_that_can_be_traded_is_a_giveaway(symbol: str) -> None:
    """The gate may not import the table of contracts, so its own list is held against it here."""
    assert symbol in ROOTS
    assert [(found.word, found.kind) for found in giveaways(f"{symbol} is weak")] == [(symbol, "a symbol")]
    assert [(found.word, found.kind) for found in giveaways(f"long {symbol}H6")] == [(f"{symbol}H6", "a contract")]


@pytest.mark.parametrize(
    "text",
    [
        "Price may march on; the sun sat low and the second try may fail.",
        "60-minute trend: with; volatility: normal (percentile 62); 5.6 times the risk, 260 minutes, 3 losses.",
        "The opening, midday, afternoon and late parts of the session; the morning and the night before.",
        "stop 1.5 ATR, target 4.5 ATR, VWAP, R, A = approve, B = shrink, C = veto, JSON",
        "this is a fed market? no: a market that feeds on its own moves, in seconds",
        "",
    ],
)
def test_the_language_of_a_setup_is_free(text: str) -> None:
    assert giveaways(text) == []


def test_a_finding_reads_like_an_error() -> None:
    assert [str(found) for found in giveaways("sold NQ on Monday")] == [
        "line 1: 'NQ' is a symbol",
        "line 1: 'Monday' is a weekday",
    ]


def test_every_phrase_and_every_prompt_is_blind() -> None:
    phrases = [phrase for phrase in longest_facts() if "000000" not in phrase]

    assert giveaways("\n".join(phrases)) == []
    assert {path.name: giveaways_in_file(path) for path in prompt_paths(prompts_folder())} == {
        path.name: [] for path in prompt_paths(prompts_folder())
    }


def test_bytes_that_are_no_text_do_not_hide_a_word(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"\xff NQ \xfe")

    assert [found.word for found in giveaways_in_file(tmp_path / "t")] == ["NQ"]
