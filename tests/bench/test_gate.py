"""The gate's benchmark measures what it says: real replies, and prompts that share nothing where they should not."""

from bench.gate import FULL, MOST_OVERHEAD_MS, QUICK, Load, Seen, overhead_rows, quantile, stub_rows, unlike_any
from llm_gate.prompts.prompt_files import DEFAULT_PROMPT, find_prompt

BUSY = 5
"""How much slower a machine with other work may be."""


def test_our_own_time_is_a_few_milliseconds() -> None:
    """1.4 ms on a quiet machine; the limit itself is for the benchmark."""
    choice, whole = stub_rows(60)

    for row in (choice, whole):
        assert row.settings["failed"] == 0 and row.settings["calls"] == 60
        assert 0 < row.value < BUSY * MOST_OVERHEAD_MS
        assert row.ratio_to["limit"] == row.value / MOST_OVERHEAD_MS


def test_a_prompt_without_a_cached_prefix_differs_from_its_first_words_on() -> None:
    prompt = find_prompt(DEFAULT_PROMPT)
    first, second = (unlike_any(prompt, number).examples[0].text for number in (1, 2))

    assert first.splitlines()[0] != second.splitlines()[0] and first.endswith(prompt.examples[0].text)
    assert unlike_any(prompt, 1).examples[1:] == prompt.examples[1:]


def test_what_is_left_after_the_servers_time_is_ours() -> None:
    """A letter of 100 ms of which the server says 98; an object takes ten times as long."""
    letter = Seen(1.0, [0.1, 0.1, 0.1], 0, 0.098, 0.9, 1.0)
    whole = Seen(1.0, [1.0, 1.0, 1.0], 0, None, 0.9, 40.0)

    ours, ratio = overhead_rows({Load("choice", True, 1, 3): letter, Load("json", True, 1, 3): whole})

    assert abs(ours.value - 2.0) < 1e-9
    assert (ratio.name, round(ratio.value, 6), round(ratio.ratio_to["target"], 6)) == (
        "gate.json_over_choice",
        10,
        1.25,
    )


def test_a_quantile_of_few_is_one_of_them() -> None:
    assert quantile([1.0, 2.0, 3.0], 0.5) == 2.0
    assert quantile([1.0, 2.0, 3.0], 0.99) == 3.0


def test_both_lists_hold_what_the_ratio_needs() -> None:
    for loads in (QUICK, FULL):
        assert {(load.mode, load.cached_prefix) for load in loads if load.at_once == 1} >= {
            ("choice", True),
            ("json", True),
        }
