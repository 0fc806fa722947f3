"""Two answerers on the same questions, and what a probability means, each against arithmetic by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from llm_gate.cli import app
from llm_gate.commands.evals import compare
from llm_gate.errors import RequestError
from llm_gate.evals.data.log import LOG, Row, read_rows
from llm_gate.evals.data.trials import Trial, count_trials
from llm_gate.evals.scoring.compare import answerers_of, compare_logs, split_of
from llm_gate.evals.scoring.fit_calibration import best_lines, calibrate_rows, isotonic_map, temperature_map
from llm_gate.review.calibrated_verdict import read_calibration
from tests.llm_gate.evals.rows import DIGEST, recorded, row
from trigate.errors import ResourceError


def write(folder: Path, rows: list[Row]) -> str:
    folder.mkdir(exist_ok=True)
    (folder / LOG).write_text("".join(one.model_dump_json() + "\n" for one in rows))
    return str(folder)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"probabilities": {"approve": 5.0}}, "probabilities.approve"),
        ({"probabilities": {"approve": -0.5}}, "probabilities.approve"),
        ({"outcome_r_milli": 10**400}, "outcome_r_milli"),
    ],
)
def test_a_row_with_a_figure_outside_its_bounds_is_refused(
    tmp_path: Path, changes: dict[str, object], field: str
) -> None:
    told = json.loads(recorded(0, 0.5, 1000, 0).model_dump_json()) | changes
    (tmp_path / LOG).write_text(json.dumps(told) + "\n")

    with pytest.raises(RequestError, match=f"{LOG}:1: {field}"):
        read_rows(tmp_path)


def test_two_logs_are_paired_by_question(tmp_path: Path) -> None:
    """12 common cases: A right on all, B on 4; 8 discordant, all for A: McNemar p = 2 / 2^8."""
    a = write(tmp_path / "a", [row(n) for n in range(13)])
    b = write(tmp_path / "b", [row(n, answer="approve" if n < 4 else "veto", model="n") for n in range(12)])

    (found,) = compare_logs(a, b)

    assert (found.common, found.only_a, found.only_b) == (12, 1, 0)
    assert (found.right_only_a, found.right_only_b, found.p_value) == (8, 0, pytest.approx(2 / 256))
    assert found.accuracy_difference.value == pytest.approx(8 / 12)
    assert found.accuracy_difference.low is not None and found.accuracy_difference.low > 0
    assert found.agreement.value == pytest.approx(4 / 12)


def test_a_repeated_case_is_one_case_in_the_test_of_accuracy(tmp_path: Path) -> None:
    rows = [row(n, repeat=repeat) for n in range(3) for repeat in range(4)]
    wrong = [one.model_copy(update={"answer": "veto", "model": "n"}) for one in rows]

    (found,) = compare_logs(write(tmp_path / "a", rows), write(tmp_path / "b", wrong))

    assert (found.common, found.right_only_a, found.accuracy_difference.rows) == (12, 3, 3)


def test_money_is_compared_by_session(tmp_path: Path) -> None:
    """B vetoes the losers of 1 R: A - B is -1 R on half of them, the same in all 20 sessions, so there is no doubt."""
    rows = [recorded(n, 0.5, 2000 if n % 2 else -1000, n // 4) for n in range(80)]
    better = [one.model_copy(update={"share_milli": 0 if (one.r or 0) < 0 else 1000}) for one in rows]

    (found,) = compare_logs(write(tmp_path / "a", rows), write(tmp_path / "b", better))

    assert (found.r_difference.value, found.r_difference.low, found.r_difference.high) == (-0.5, -0.5, -0.5)


def test_one_answerer_of_a_log_is_chosen_by_name(tmp_path: Path) -> None:
    log = write(tmp_path / "a", [row(0), row(0, model="n", model_digest="n@1")])

    (found,) = compare_logs(f"{log}#m/*", f"{log}#n/*")

    assert (found.a, found.b) == ("m/p.v1/choice", "n/p.v1/choice")
    with pytest.raises(RequestError, match=r"no answerer matches; there are: m/p\.v1/choice, n/p\.v1/choice"):
        compare_logs(f"{log}#x/*", log)


def test_a_split_takes_its_rows_alone(tmp_path: Path) -> None:
    log = write(tmp_path / "a", [row(n, split="tune" if n < 3 else "held_out") for n in range(8)])

    assert [len(side.rows) for side in answerers_of(log, split="tune")] == [3]
    assert [found.common for found in compare_logs(log, log, split="held_out")] == [5]
    with pytest.raises(RequestError, match="no split 'test'; there are: tune, held_out"):
        split_of("test")
    with pytest.raises(RequestError, match="holds no row of held_out"):
        answerers_of(write(tmp_path / "b", [row(0, split="tune")]), split="held_out")


def test_a_case_that_was_asked_in_other_words_since_is_one_case(tmp_path: Path) -> None:
    old = [row(n, answer="veto", question_digest="a" * 64) for n in range(3)]
    log = write(tmp_path / "a", [*old, *[row(n, question_digest="b" * 64) for n in range(3)]])

    (side,) = answerers_of(log)

    assert [one.answer for one in side.rows] == ["approve"] * 3


def test_a_calibration_of_the_tune_part_is_saved_and_its_gate_reads_it(tmp_path: Path) -> None:
    """What earns is said from 0.5 on: the threshold is found in the first ten sessions alone, and saved with trials."""
    rows = [
        recorded(n, 0.8 if n % 2 else 0.2, 3000 if n % 2 else -1000, n // 10).model_copy(
            update={"split": "tune" if n < 100 else "held_out"}
        )
        for n in range(200)
    ]
    log, out = write(tmp_path / "a", rows), tmp_path / "calibration.json"
    options = ["--trials", str(tmp_path / "trials.jsonl"), "--out", str(out)]

    ended = CliRunner().invoke(app, ["calibrate", str(log), "--split", "tune", *options])

    assert ended.exit_code == 0, ended.output
    saved = read_calibration(out).saved
    assert (saved.fitted_rows, saved.folds[-1].rows) == (80, 20)
    assert 0.2 < (saved.threshold or 0.0) <= 0.8
    assert saved.trials == len(saved.thresholds_tried)
    assert "no longer judge" not in ended.output
    both = CliRunner().invoke(app, ["calibrate", str(log), *options])
    assert "fitted on held-out sessions too" in both.output


def test_where_approving_all_earned_most_it_is_said(tmp_path: Path) -> None:
    log = write(tmp_path / "a", [recorded(n, 0.2 + n / 100, 1000, n // 10) for n in range(40)])
    options = ["--trials", str(tmp_path / "trials.jsonl"), "--out", str(tmp_path / "calibration.json")]

    ended = CliRunner().invoke(app, ["calibrate", log, *options])

    assert "approving all earned most, so a gate refuses this calibration" in ended.output
    with pytest.raises(RequestError, match="approves of everything"):
        read_calibration(tmp_path / "calibration.json")


def test_isotonic_pools_adjacent_violators() -> None:
    """0.1: 0, 0.2: 1, 0.3: 0 pool to 0, 1/2, 1/2; 0.9 is 1; between knots a straight line."""
    fitted = isotonic_map([0.1, 0.2, 0.3, 0.9], [0, 1, 0, 1])

    assert fitted([0.0, 0.1, 0.25, 0.6, 1.0]).tolist() == pytest.approx([0.0, 0.0, 0.5, 0.75, 1.0])


def test_temperature_cools_what_says_too_much() -> None:
    """Odds of 9 : 1 said where 3 : 1 holds: log 9 / log 3 = 2."""
    fitted = temperature_map([0.9] * 4 + [0.1] * 4, [1, 1, 1, 0, 0, 0, 0, 1])

    assert fitted.temperature == pytest.approx(2.0, abs=1e-3)
    assert fitted([0.9]).tolist() == pytest.approx([0.75], abs=1e-3)


def test_the_threshold_earns_most_within_its_bound() -> None:
    said, r = [0.1, 0.2, 0.3, 0.4], [-1.0, -1.0, -1.0, 3.0]

    all_may = best_lines(said, r, 1.0)
    assert 0.3 < all_may.approve_from <= 0.4 and all_may.shrink_from == all_may.approve_from
    assert best_lines(said, [1.0] * 4, 0.75)[:2] == (0.0, 0.0)


def test_what_the_bound_keeps_from_a_veto_is_shrunk_and_the_least_likely_is_vetoed() -> None:
    """One veto of four is allowed: it goes to the least likely of the three that lose; one more needs half of all."""
    said, r = [0.1, 0.2, 0.3, 0.4], [-1.0, -1.0, -1.0, 3.0]

    lines = best_lines(said, r, 0.25)

    assert 0.3 < lines.approve_from <= 0.4 and lines.shrink_from == 0.2
    assert best_lines(said, r, 0.49).shrink_from == 0.2 and best_lines(said, r, 0.5).shrink_from == 0.3
    assert best_lines(said, r, 0.0).shrink_from == 0.1, "nothing is vetoed"


def test_no_other_pair_of_lines_earns_more_where_r_rises_with_what_was_said() -> None:
    """All pairs within the bound, tried one by one."""
    drawn = np.random.default_rng(5)
    said = np.sort(drawn.random(20))
    r = np.sort(drawn.normal(size=20))

    lines = best_lines(said, r, 0.3)

    def gained(approve_from: float, shrink_from: float) -> float:
        return float((r * np.where(said >= approve_from, 1.0, np.where(said >= shrink_from, 0.5, 0.0))).mean())

    pairs = [(a, s) for a in [*said, 2.0] for s in [0.0, *said] if s <= a and (said < s).mean() <= 0.3]
    assert gained(*lines[:2]) == pytest.approx(max(gained(*pair) for pair in pairs), abs=0.02)
    assert (said < lines.shrink_from).mean() == 0.3


def test_a_calibration_saves_both_lines_and_tests_them_together() -> None:
    """From 0.5 on all win, below all lose, and a quarter may be vetoed: the next quarter is shrunk."""
    said = np.tile(np.linspace(0.05, 0.95, 10), 20)
    rows = [recorded(n, float(p), 1000 if p >= 0.5 else -1000, n // 10) for n, p in enumerate(said)]

    found = calibrate_rows(rows, method="temperature", max_veto_rate=0.2)
    wide = calibrate_rows(rows, method="temperature", max_veto_rate=0.5)

    assert found.threshold is not None and 0.45 < found.threshold <= 0.55 and found.shrink_from == pytest.approx(0.25)
    last = found.folds[-1]
    assert (last.veto_rate, last.shrink_rate, last.r_gate) == pytest.approx((0.2, 0.3, 0.5 - 0.15))
    assert wide.shrink_from is None and wide.folds[-1].r_gate == pytest.approx(0.5)


def test_a_fold_is_judged_by_what_came_before_it_alone() -> None:
    """The last sessions are turned upside down: what was fitted before them does not change."""
    drawn = np.random.default_rng(0)
    rows = [
        recorded(n, float(p), 3000 if drawn.random() < p else -1000, n // 10) for n, p in enumerate(drawn.random(200))
    ]
    upside_down = [
        one if (one.session or 0) < 16 else one.model_copy(update={"outcome_r_milli": -1000}) for one in rows
    ]

    before = calibrate_rows(rows, method="isotonic", max_veto_rate=0.5)
    after = calibrate_rows(upside_down, method="isotonic", max_veto_rate=0.5)

    assert (before.map, before.threshold, before.folds[:-1]) == (after.map, after.threshold, after.folds[:-1])
    assert before.folds[-1] != after.folds[-1]
    assert before.data_digest != after.data_digest
    assert before.fitted_rows == 160


def test_bank_rows_are_fitted_on_tune_and_tested_on_held_out() -> None:
    rows = [
        row(n, p=0.8, split="tune" if n < 10 else "held_out", truth="approve" if n % 2 else "veto") for n in range(20)
    ]

    found = calibrate_rows(rows, method="temperature", max_veto_rate=0.5)

    assert (found.target, found.threshold, len(found.folds)) == ("label", None, 1)
    assert found.folds[0].brier_mapped < found.folds[0].brier_said
    with pytest.raises(RequestError, match="nothing to fit on"):
        calibrate_rows(rows[:10], method="temperature", max_veto_rate=0.5)


def test_every_trial_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    one, two = Trial("prompt", DIGEST, "m", "choice"), Trial("threshold", DIGEST, "m", "choice", "0.5 on x")

    assert count_trials(path, [one, one]) == 1
    assert count_trials(path, [two, one]) == 2
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 2


def test_a_record_of_trials_that_a_kill_left_torn_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    one, two = (Trial("prompt", name, "m", "choice") for name in ("p", "q"))
    count_trials(path, [one, two])
    path.write_bytes(path.read_bytes()[:-9])

    assert count_trials(path, [one]) == 1
    assert count_trials(path, [two]) == 2


@pytest.mark.parametrize("line", [b"\xff", b'{"kind": ["x"], "prompt": "p", "model": "m", "mode": "choice"}', b"[]"])
def test_a_file_that_is_no_record_of_trials_is_refused(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "trials.jsonl"
    path.write_bytes(line + b"\n")

    with pytest.raises(ResourceError, match="is no record of trials"):
        count_trials(path, [])

    assert path.read_bytes() == line + b"\n"


def test_a_case_in_two_logs_is_fitted_on_once() -> None:
    rows = [recorded(n, 0.2 + n / 100, -1000 if n % 3 else 2000, n // 10) for n in range(40)]

    once, twice = (calibrate_rows(given, method="isotonic", max_veto_rate=0.5) for given in (rows, rows + rows))

    assert twice == once


def test_a_log_is_not_compared_with_itself(tmp_path: Path) -> None:
    log = write(tmp_path / "a", [row(n) for n in range(3)])

    with pytest.raises(RequestError, match="named twice, and nothing differs from itself"):
        compare(log, log)
