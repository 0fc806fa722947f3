"""The regression finds the condition, is calibrated, and claims nothing where there is nothing."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from llm_gate.cli import app
from llm_gate.engines.logistic import LogisticModel, read_logistic
from llm_gate.errors import RequestError
from llm_gate.evals.data.cases import Case, write_cases
from llm_gate.teaching.fit_logistic import _calibrated, fit_logistic
from llm_gate.teaching.lessons import lessons_of
from tests.llm_gate.teaching.conftest import MakeCases


def uplift(model: LogisticModel, cases: list[Case]) -> float:
    """R a held-out proposal over random vetoes as often."""
    judged = [case for case in cases if case.split == "held_out"]
    r = np.array([(case.outcome_r_milli or 0) / 1000 for case in judged])
    share = np.array([model.p_win(case.proposal) >= model.threshold for case in judged], np.float64)
    return float((share * r).mean() - share.mean() * r.mean())


def test_it_finds_a_condition_of_one_fact(make_cases: MakeCases) -> None:
    """Wins of 45 and 15 in 100 are +0.75 and -0.45 R: the best gate adds a quarter of the 1.2 R between them."""
    cases = make_cases(1600)

    model = fit_logistic(lessons_of(cases))

    assert uplift(model, cases) > 0.75 * 0.3
    weights = {column.name: abs(column.weight) for column in model.columns}
    assert max(weights, key=lambda name: weights[name]) in ("with_trend_240", "trend_240")


def test_it_cannot_know_two_facts_together(make_cases: MakeCases) -> None:
    cases = make_cases(1600, two_facts=True)

    assert abs(uplift(fit_logistic(lessons_of(cases)), cases)) < 0.35 * 0.3


def test_its_chances_are_those_that_come_true_and_the_threshold_is_where_wins_pay_for_losses(
    make_cases: MakeCases,
) -> None:
    """A win of 2.95 R pays for a loss of 1.05 R from a chance of 1.05 / 4 on."""
    cases = make_cases(3000)
    model = fit_logistic(lessons_of(cases))
    judged = [case for case in cases if case.split == "held_out"]

    p = np.array([model.p_win(case.proposal) for case in judged])
    won = np.array([(case.outcome_r_milli or 0) > 0 for case in judged])

    assert model.threshold == pytest.approx(1.05 / 4, abs=1e-9)
    for part in (p < np.median(p), p >= np.median(p)):
        assert p[part].mean() == pytest.approx(won[part].mean(), abs=0.05)


def test_where_the_facts_say_nothing_it_approves_everything(make_cases: MakeCases) -> None:
    """The same outcomes in another order lose on average: still nothing tells which, and a veto of all judges none."""
    cases = make_cases(800)
    outcomes = [case.outcome_r_milli for case in cases]
    np.random.default_rng(4).shuffle(outcomes)
    lost = [min(outcome or 0, 2000) for outcome in outcomes]
    shuffled = [case.model_copy(update={"outcome_r_milli": r}) for case, r in zip(cases, lost, strict=True)]

    model = fit_logistic(lessons_of(shuffled))

    assert sum(lost) < 0 and model.threshold == 0.0
    assert fit_logistic(lessons_of(cases)).threshold > 0.0


def test_where_left_out_folds_turn_the_order_round_every_chance_is_the_share_of_wins() -> None:
    """The likeliest two of eight by the regression's own word lose, the least likely two win."""
    odds = np.array([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0])
    won = np.array([True, True, False, False, False, False, False, False])

    slope, shift = _calibrated(odds, won)

    chances = 1 / (1 + np.exp(-(slope * odds + shift)))
    assert slope > 0 and chances == pytest.approx(0.25, abs=0.002)


def test_no_more_is_vetoed_than_was_allowed_and_the_rest_is_shrunk(make_cases: MakeCases) -> None:
    """Half of the cases lose on average; a fifth may be vetoed, so about three tenths are shrunk."""
    cases = make_cases(1600)
    lessons = lessons_of(cases)
    bound, free = fit_logistic(lessons, max_veto_rate=0.2), fit_logistic(lessons)

    held_out = [case for case in cases if case.split == "held_out"]
    labels = Counter(bound.label(bound.p_win(case.proposal)) for case in held_out)
    unbound = Counter(free.label(free.p_win(case.proposal)) for case in held_out)

    assert bound.threshold == free.threshold and free.veto_below is None and unbound["shrink"] == 0
    assert labels["approve"] == unbound["approve"]
    assert labels["veto"] / len(held_out) == pytest.approx(0.2, abs=0.05)
    assert labels["shrink"] == unbound["veto"] - labels["veto"]
    assert bound.veto_below is not None and bound.veto_below < bound.threshold


def test_a_bound_on_vetoes_is_refused_where_it_would_be_ignored(tmp_path: Path) -> None:
    asked = ["tune", "cases.jsonl", "--method", "head", "--max-veto-rate", "0.3", "--out", str(tmp_path / "x")]

    assert "bound a model's vetoes with llm-gate calibrate" in str(CliRunner().invoke(app, asked).exception)


def test_no_case_that_is_held_out_is_read(make_cases: MakeCases) -> None:
    cases = make_cases(400)
    other = [
        case.model_copy(update={"outcome_r_milli": -(case.outcome_r_milli or 0)}) if case.split == "held_out" else case
        for case in cases
    ]

    assert fit_logistic(lessons_of(cases)) == fit_logistic(lessons_of(other))


def test_the_command_saves_what_an_engine_reads(make_cases: MakeCases, tmp_path: Path) -> None:
    cases, out = make_cases(400), tmp_path / "gate.json"
    write_cases(cases, tmp_path / "cases.jsonl")

    ended = CliRunner().invoke(app, ["tune", str(tmp_path / "cases.jsonl"), "--out", str(out)])

    assert ended.exit_code == 0, ended.output
    assert read_logistic(out).saved == fit_logistic(lessons_of(cases))
    assert "200 cases of 40 sessions" in ended.output


@pytest.mark.parametrize(("mark", "said"), [(True, "1 of 200 cases lie on bars"), (None, "and of 1 it is not known")])
def test_cases_that_the_policy_was_trained_on_are_refused_unless_asked(
    make_cases: MakeCases, mark: bool | None, said: str
) -> None:
    first, *rest = make_cases(400)
    cases = [first.model_copy(update={"in_sample": mark}), *rest]

    with pytest.raises(RequestError, match=said):
        lessons_of(cases)
    assert fit_logistic(lessons_of(cases, accept_in_sample=True)).in_sample


def test_too_few_sessions_and_outcomes_that_are_all_alike_are_refused(make_cases: MakeCases) -> None:
    with pytest.raises(RequestError, match="of 5 sessions; a gate is taught on 10"):
        lessons_of(make_cases(50))
    with pytest.raises(RequestError, match="came out alike"):
        fit_logistic(lessons_of(make_cases(200, win=1.0, lose=1.0)))
