"""The scenario bank: how many cases of what, that the rule knows its own and no more, and that no case repeats."""

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Any

import pytest

from llm_gate.contract import RegimeContext
from llm_gate.engines.rules import rule
from llm_gate.evals.data.cases import Case, bank_path, read_cases
from llm_gate.prompts.blindness import giveaways
from llm_gate.prompts.facts import facts_of
from llm_gate.prompts.outside_text import marker_of
from llm_gate.prompts.prompt_files import load_prompt, prompt_paths, prompts_folder

LABELS = ("approve", "shrink", "veto")


@pytest.fixture(scope="module")
def bank() -> tuple[Case, ...]:
    """The project's cases."""
    return read_cases(bank_path())


def shares(cases: Iterable[Case], key: Callable[[Case], Any]) -> dict[Any, float]:
    """The share of ``cases`` of each value of ``key``."""
    counts = Counter(map(key, cases))
    return {value: number / counts.total() for value, number in counts.items()}


def outside(cases: Iterable[Case]) -> list[Case]:
    """Those whose label rests on facts that the rule does not read."""
    return [case for case in cases if case.outside_rules]


def inside(cases: Iterable[Case]) -> list[Case]:
    """The others."""
    return [case for case in cases if not case.outside_rules]


def test_there_are_enough_cases_of_both_kinds(bank: tuple[Case, ...]) -> None:
    assert len(bank) >= 200
    assert len(outside(bank)) >= 60
    assert {case.source for case in bank} == {"bank"}


@pytest.mark.parametrize("part", [list, inside, outside])
@pytest.mark.parametrize("split", [("tune",), ("held_out",), ("tune", "held_out")])
def test_labels_are_balanced_in_every_part(
    bank: tuple[Case, ...], part: Callable[[Iterable[Case]], list[Case]], split: tuple[str, ...]
) -> None:
    found = shares((case for case in part(bank) if case.split in split), lambda case: case.label)

    assert set(found) == set(LABELS)
    assert all(abs(share - 1 / 3) <= 0.1 for share in found.values())


def test_the_splits_are_halves_of_every_part(bank: tuple[Case, ...]) -> None:
    for part in (inside(bank), outside(bank)):
        assert abs(shares(part, lambda case: case.split)["tune"] - 0.5) <= 0.05


@pytest.mark.parametrize("split", [("tune",), ("held_out",)])
def test_sides_regimes_and_session_parts_are_spread(bank: tuple[Case, ...], split: tuple[str, ...]) -> None:
    cases = [case for case in bank if case.split in split]

    assert all(share >= 0.4 for share in shares(cases, lambda case: case.proposal.side).values())
    assert len(shares(cases, lambda case: case.regime)) == 9
    assert all(share >= 0.06 for share in shares(cases, lambda case: case.regime).values())
    parts = shares(cases, lambda case: case.proposal.context.session_part)
    assert len(parts) == 4 and all(share >= 0.15 for share in parts.values())


def test_side_and_label_are_unrelated(bank: tuple[Case, ...]) -> None:
    for label in LABELS:
        assert (
            abs(shares((case for case in bank if case.label == label), lambda c: c.proposal.side)["buy"] - 0.5) < 0.05
        )


def test_the_rule_is_right_about_its_own_cases_and_no_better_than_chance_about_the_others(
    bank: tuple[Case, ...],
) -> None:
    """Outside its fields it approves of everything: that is right for the third that is to be approved."""
    right = {case.case_id: rule(case.proposal).label == case.label for case in bank}

    assert all(right[case.case_id] for case in inside(bank))
    assert {rule(case.proposal).label for case in outside(bank)} == {"approve"}
    assert sum(right[case.case_id] for case in outside(bank)) / len(outside(bank)) <= 0.4


def test_every_fact_is_known_in_every_case(bank: tuple[Case, ...]) -> None:
    for case in bank:
        assert "unknown" not in facts_of(case.proposal)


def test_no_case_repeats_another(bank: tuple[Case, ...]) -> None:
    """Two cases of one label differ in five facts; fewer only in a contrast, which has another label and one split."""
    for one, other in combinations(bank, 2):
        pairs = zip(facts_of(one.proposal), facts_of(other.proposal), strict=True)
        different = sum(mine != theirs for mine, theirs in pairs)
        contrast = one.label != other.label and one.split == other.split

        assert different >= 5 or contrast, (one.case_id, other.case_id)
        assert one.proposal.proposal_id != other.proposal.proposal_id


def test_each_family_outside_the_rule_has_a_contrast_of_one_fact(bank: tuple[Case, ...]) -> None:
    """Two cases with one field of the context apart and another label."""
    families: dict[str, list[Case]] = {}
    for case in outside(bank):
        families.setdefault(case.case_id.rpartition("-")[0], []).append(case)
    assert len(families) == 12
    for family, cases in families.items():
        apart = [
            fields_apart(one.proposal.context, other.proposal.context)
            for one, other in combinations(cases, 2)
            if one.label != other.label
        ]
        assert min(apart) == 1, family
        assert {case.label for case in cases} == set(LABELS), family


def fields_apart(one: RegimeContext, other: RegimeContext) -> int:
    """In how many fields the two differ."""
    mine, theirs = one.model_dump(), other.model_dump()
    return sum(mine[name] != theirs[name] for name in mine)


def test_each_label_is_justified_in_its_own_words(bank: tuple[Case, ...]) -> None:
    uses = Counter(case.why for case in bank)

    assert all(len(case.why.split()) >= 8 for case in bank)
    assert max(uses.values()) <= 8
    assert max(Counter(case.why for case in outside(bank)).values()) == 1


def test_no_case_tells_the_day_or_the_market(bank: tuple[Case, ...]) -> None:
    for case in bank:
        told = [case.case_id.replace("-", " "), case.why, *facts_of(case.proposal)]
        told += [text for note in case.proposal.notes for text in (note.source, note.text)]

        assert giveaways("\n".join(told)) == [], case.case_id


def test_a_case_could_happen(bank: tuple[Case, ...]) -> None:
    """The regime is that of its numbers, no move is larger than the session, and the bracket is one to three."""
    for case in bank:
        context = case.proposal.context
        trends = (context.trend_15_atr_milli, context.trend_60_atr_milli, context.trend_240_atr_milli)
        high, low, vwap = context.to_session_high_atr_milli, context.to_session_low_atr_milli, context.vwap_atr_milli
        assert high is not None and low is not None and vwap is not None

        assert case.regime == regime_of(context)
        assert all(-high <= move <= low for move in (*trends, vwap)), case.case_id
        assert case.proposal.target_atr_milli == 3 * case.proposal.stop_atr_milli
        assert case.label != "shrink" or case.proposal.quantity >= 2, "one contract cannot be halved"


def regime_of(context: RegimeContext) -> str:
    """Direction from 2.5 ATR in 60 minutes, volatility by thirds, as the market's own labels are made."""
    trend, percentile = context.trend_60_atr_milli, context.volatility_percentile
    direction = "flat" if abs(trend) < 2500 else "up" if trend > 0 else "down"
    return f"{direction}/{'calm' if percentile < 33 else 'wild' if percentile >= 67 else 'normal'}"


def test_no_case_is_a_worked_example(bank: tuple[Case, ...]) -> None:
    for path in prompt_paths(prompts_folder()):
        prompt = load_prompt(path)
        examples = {turn.text for turn in prompt.examples}

        assert not examples & {prompt.render(case.proposal)[-1].text for case in bank}


def test_the_bank_holds_no_text_from_outside(bank: tuple[Case, ...]) -> None:
    assert all(case.proposal.notes == () for case in bank)
    assert len({marker_of(case.proposal.proposal_id) for case in bank}) == len(bank)
