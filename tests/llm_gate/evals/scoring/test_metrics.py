"""Every figure against arithmetic by hand, and the verdict against answers that need no judgement."""

import numpy as np
import pytest

from llm_gate.evals.scoring.intervals import Metric, _jackknife_errors, block_weights, figure, mean_of
from llm_gate.evals.scoring.judgement import judgement
from llm_gate.evals.scoring.metrics import (
    accuracy,
    agreement,
    auc,
    brier,
    calibration_error,
    macro_f1,
    majority_rate,
    reliability,
)

TRUTH = ["approve", "approve", "veto", "shrink"]
SAID = ["approve", "veto", "veto", None]


def value(metric: Metric, count: int) -> float:
    """The metric itself, without resamples."""
    return float(metric(np.ones((1, count)))[0])


def test_accuracy_counts_a_missing_answer_as_wrong() -> None:
    assert value(accuracy(TRUTH, SAID), 4) == 0.5


def test_macro_f1_is_the_mean_over_the_labels() -> None:
    """approve: 1 hit, 1 missed: 2/3. veto: 1 hit, 1 too many: 2/3. shrink: 0."""
    assert value(macro_f1(TRUTH, SAID), 4) == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)


def test_auc_counts_pairs_and_halves_ties() -> None:
    """Pairs (0.9, 0.4), (0.9, 0.1), (0.4, 0.4), (0.4, 0.1): 1 + 1 + 1/2 + 1 of 4; weights count a value twice."""
    metric = auc([True, True, False, False], [0.9, 0.4, 0.4, 0.1])

    assert value(metric, 4) == pytest.approx(3.5 / 4)
    assert float(metric(np.array([[2.0, 1.0, 1.0, 1.0]]))[0]) == pytest.approx(5.5 / 6)
    assert figure(auc([True, True], [0.1, 0.2]), block_weights(range(2))).value is None


def test_brier_and_calibration_error() -> None:
    """Bins: 0.2 and 0.24 say 0.22 and half came true, 0.9 came true: (2 x 0.28 + 0.1) / 3."""
    true, said = [True, False, True], [0.2, 0.24, 0.9]

    assert value(brier(true, said), 3) == pytest.approx((0.64 + 0.0576 + 0.01) / 3)
    assert value(calibration_error(true, said), 3) == pytest.approx((2 * 0.28 + 0.1) / 3)
    assert [(one.rows, one.observed) for one in reliability(true, said)] == [(2, 0.5), (1, 1.0)]


def test_agreement_is_the_share_of_pairs_that_say_the_same() -> None:
    answers = [("a", "veto"), ("a", "veto"), ("a", "approve"), ("b", "veto"), ("c", None), ("c", None)]

    assert agreement(answers) == [pytest.approx(1 / 3), 0.0]


def test_the_interval_of_whole_blocks_is_wider() -> None:
    """A hundred values of twenty sessions that agree within: twenty blocks know less than a hundred cases."""
    values = [0.0] * 50 + [1.0] * 50

    alone = figure(mean_of(values), block_weights(range(100)))
    blocks = figure(mean_of(values), block_weights([n // 5 for n in range(100)]))

    assert alone.value == blocks.value == 0.5
    assert None not in (alone.low, alone.high, blocks.low, blocks.high)
    assert blocks.high - blocks.low > 1.5 * (alone.high - alone.low)  # type: ignore[operator]


@pytest.mark.parametrize(("groups", "given"), [(1, False), (9, False), (10, True), (19, True), (20, True)])
def test_ten_groups_are_needed_for_an_interval(groups: int, given: bool) -> None:
    """Two values a group, and each group of another mean."""
    values = [float(n % groups) for n in range(2 * groups)]

    found = figure(mean_of(values), block_weights([n % groups for n in range(2 * groups)]))

    assert found.value == pytest.approx((groups - 1) / 2)
    assert (found.low is not None) == (found.high is not None) == given


def test_few_groups_have_a_wider_interval_than_resamples_alone_would_say() -> None:
    """Ten sessions, one with the only winner: a third of the resamples does not hold it, and says -1 for sure."""
    r, sessions = [4.0] + [-1.0] * 9, list(range(10))
    resamples = block_weights(sessions)
    percentiles = np.quantile(mean_of(r)(resamples.weights[1:]), [0.025, 0.975])

    found = figure(mean_of(r), resamples)

    assert found.value == -0.5 and found.low is not None and found.high is not None
    assert found.low < percentiles[0] + 0.5 and found.high > percentiles[1]


def test_an_interval_stays_in_the_range_of_its_metric() -> None:
    """Eleven of twelve right: the plain interval of so few reaches beyond 1."""
    hits, resamples = [1.0] * 11 + [0.0], block_weights(range(12))

    plain, clipped = figure(mean_of(hits), resamples), figure(mean_of(hits), resamples, within=(0.0, 1.0))

    assert plain.high is not None and plain.high > 1.0 == clipped.high
    assert clipped.low == plain.low is not None


def test_twelve_right_answers_of_twelve_give_no_interval() -> None:
    assert figure(mean_of([1.0] * 12), block_weights(range(12))) == (1.0, None, None, 12)


def test_the_error_of_a_mean_by_the_jackknife_is_the_usual_one() -> None:
    """Of the mean of n values: their standard deviation over sqrt(n); a group drawn twice counts as two."""
    values = np.random.default_rng(3).normal(size=12)
    resamples = block_weights(range(12))
    weights = np.array([[1.0] * 12, [2.0, 0.0] + [1.0] * 10])
    drawn = np.array([values[0], values[0], *values[2:]])

    errors = _jackknife_errors(mean_of(values), resamples, weights, mean_of(values)(weights))

    assert errors == pytest.approx([values.std(ddof=1) / 12**0.5, drawn.std(ddof=1) / 12**0.5])


def test_one_answer_to_everything_shows_no_judgement() -> None:
    truth = ["approve"] * 40 + ["veto"] * 20

    found = judgement(truth, ["approve"] * 60)

    assert (found.word, found.majority) == ("NO JUDGEMENT SHOWN", pytest.approx(2 / 3))
    assert "same answer to all 60 cases" in found.reason


def test_answers_at_the_commonest_labels_rate_show_none_and_right_ones_do() -> None:
    truth = ["approve", "veto", "shrink"] * 20
    coin = np.random.default_rng(0).permutation(truth).tolist()

    assert judgement(truth, coin).word == "NO JUDGEMENT SHOWN"
    assert judgement(truth, truth).word == "JUDGEMENT"
    assert judgement(truth[:12], truth[:12]).word == "NO JUDGEMENT SHOWN"


def test_the_more_verdicts_stand_side_by_side_the_more_one_has_to_show() -> None:
    """29 right of 60 against 1/3: the interval at 95 % lies above it, at 99.9 % it does not."""
    truth = ["approve", "veto", "shrink"] * 20
    said = truth[:29] + ["veto" if label != "veto" else "shrink" for label in truth[29:]]

    assert judgement(truth, said).word == "JUDGEMENT"
    assert judgement(truth, said, comparisons=40).word == "NO JUDGEMENT SHOWN"


def test_a_blind_draw_is_the_least_that_has_to_be_beaten() -> None:
    assert majority_rate(["approve", "approve", "veto"]) == pytest.approx(2 / 3)
    assert majority_rate(["approve", "veto", "shrink"]) == pytest.approx(1 / 3)


def test_one_group_has_a_value_and_no_interval() -> None:
    """Thirty proposals of one session say nothing of how sessions differ."""
    assert figure(mean_of([1.0, -1.0, 3.0]), block_weights([7, 7, 7])) == (1.0, None, None, 3)
    assert judgement(["veto"], ["veto"]).accuracy == (1.0, None, None, 1)


def test_no_answer_at_all_is_not_called_the_same_answer() -> None:
    assert judgement(["veto"] * 20, [None] * 20).reason.startswith("no answer to all 20 cases")


def test_an_interval_that_begins_exactly_at_the_commonest_labels_rate_shows_no_judgement() -> None:
    """Forty cases of two labels; the shares right of a resample are fortieths, so that its bound can be 0.5 itself."""
    truth = ["approve", "veto"] * 20
    wrong = {"approve": "veto", "veto": "approve"}
    verdicts = [
        judgement(truth, [label if n < right else wrong[label] for n, label in enumerate(truth)])
        for right in range(20, 40)
    ]

    (at_the_rate, *_) = [one for one in verdicts if one.accuracy.low == one.majority == 0.5]
    assert at_the_rate.word == "NO JUDGEMENT SHOWN"
    assert verdicts[-1].word == "JUDGEMENT"
