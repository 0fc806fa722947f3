"""Fits the output layer's rows of a few letters on hidden states: a linear probe that goes into the weights.

The target is soft and comes from R alone. What a choice earns more than the worst of the three is R, R / 2 and 0 for
approve, shrink and veto where R is above zero, and 0, |R| / 2 and |R| where it is below. The loss is the cross entropy
with these gains as weights, so its optimum gives each letter a chance in proportion to the gain that can be expected of
it: approving is likelier than vetoing exactly where the expected R is above zero, and what matters more counts more.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from llm_gate.contract import Label
from llm_gate.teaching.dealt_anew import Descent, luck_of_fit
from llm_gate.teaching.told_apart import LEAST_Z, told_apart, towards

STEPS = (3, 10, 20, 40, 80, 160, 320, 640, 1250, 2000)
"""Of which one is taken. All are tried: what only many steps tell begins by telling unseen cases worse."""
SURE = 6.0
"""Log-odds of approving over each other letter where nothing was found."""
RATE = 0.1
"""Of the longest step that cannot overshoot: many small steps, so that the fit can stop early enough."""
DESCENT = Descent(STEPS, 2 * RATE / 3)
"""What the fit is near its start: there a unit of leaning is curved by a third of a unit of gain."""
AT_ONCE = 2**18
"""Multiplications of one product in a step. OpenBLAS divides a larger one among threads, which then wait for each other
in every step: on a busy machine that takes several times the CPU seconds of the product."""

Reals = npt.NDArray[np.float64]
Chosen = npt.NDArray[np.bool_]
Sessions = npt.NDArray[np.int64]


class HeadFit(NamedTuple):
    """Rows [L, D] that replace the model's, and how they were found."""

    rows: Reals
    steps: int
    loss_before: float
    """On the last fold, with the model's own rows."""
    loss_taught: float
    """On the last fold, of the fit on the folds before it."""
    loss_fitted: float
    """On the folds before it."""
    loss_same: float
    """On the last fold, of one answer for all cases: the chances that fit the folds before it."""
    apart: float
    """Standard errors by which the cases of left-out folds are told apart (`told_apart`)."""
    found: bool
    """Whether that is enough."""
    luck: float
    """Share of dealings of the outcomes in which left-out cases are told apart as well (`dealt_anew`)."""


class _Scaled(NamedTuple):
    """States as the fit sees them: column 0 is about 1 for every case, the others are of mean 0 and one unit."""

    x: Reals  # [N, D + 1]
    back: Reals  # [D + 1, D] rows of the output layer are weights @ back


def gains_of(r: Reals, labels: Sequence[Label]) -> Reals:
    """[N, L] what each label earns more than the worst of the three, of outcomes ``r`` [N]."""
    share: dict[Label, float] = {"approve": 1.0, "shrink": 0.5, "veto": 0.0}
    earned = np.stack([share[label] * r for label in labels], axis=-1)
    return np.asarray(earned - np.minimum(r, 0.0)[:, None])


def fit_head(
    states: Reals, gains: Reals, rows: Reals, folds: Sequence[Chosen], *, session: Sessions, approve: int = 0
) -> HeadFit:
    """The rows [L, D] of the output layer that fit ``gains`` [N, L], starting from the mean of ``rows`` for each.

    Where nothing was found, letter ``approve`` wins whatever is asked: a gate that cannot tell entries apart is none.
    Nothing is drawn at random: the same cases give the same rows, bit for bit.
    """
    fit = fit_rows(states, gains, rows, folds, session=session, approve=approve)
    return fit if fit.found else fit._replace(rows=approving_rows(states, rows, approve))


def fit_rows(
    states: Reals, gains: Reals, rows: Reals, folds: Sequence[Chosen], *, session: Sessions, approve: int = 0
) -> HeadFit:
    """As `fit_head`, with the rows as they were fitted even where nothing was found, for who goes on from them.

    Each letter begins with the same chance: what a model prefers of three letters says nothing of a trade.
    Each of ``folds`` is left out once, and of `STEPS` those are taken with which the cases left out are told best. All
    cases are fitted with as many. Something was found where what earned more, of the cases left out, was leant to
    ``approve`` (`told_apart`).
    """
    start = np.repeat(rows.mean(axis=0, keepdims=True), len(rows), axis=0)
    own, last = states @ start.T, folds[-1]
    unseen = np.zeros((len(STEPS), *own.shape))
    for fold in folds:
        told = _told_by_others(states, own, gains, fold)
        unseen[:, fold] = told[:, fold]
    best = int(np.argmin([loss_of(logits, gains) for logits in unseen]))
    whole = _scaled(states)
    weights = _descend(whole.x, own, gains, STEPS[: best + 1])[-1]
    earned = towards(approve, gains)
    apart = told_apart(towards(approve, unseen[best]), earned, session, folds)
    return HeadFit(
        rows=start + weights @ whole.back,
        steps=STEPS[best],
        loss_before=loss_of(states[last] @ rows.T, gains[last]),
        loss_taught=loss_of(unseen[best][last], gains[last]),
        loss_fitted=loss_of(told[best][~last], gains[~last]),
        loss_same=loss_of(_same(gains[~last], len(gains[last])), gains[last]),
        apart=apart,
        found=apart > LEAST_Z,
        luck=luck_of_fit(states, earned, session, folds, DESCENT),
    )


def approving_rows(states: Reals, rows: Reals, approve: int) -> Reals:
    """[L, D] rows with which letter ``approve`` wins by `SURE` on all ``states`` [N, D] alike."""
    scaled, start = _scaled(states), np.repeat(rows.mean(axis=0, keepdims=True), len(rows), axis=0)
    weights = np.zeros((len(rows), scaled.x.shape[1]))
    weights[approve, 0] = SURE  # column 0 is about 1 for every case
    return np.asarray(start + weights @ scaled.back)


def _same(gains: Reals, count: int) -> Reals:
    """[count, L] the log chances of one answer for all that fit ``gains`` [N, L] best."""
    return np.repeat(np.log(gains.sum(axis=0, keepdims=True) / gains.sum()), count, axis=0)


def _told_by_others(states: Reals, own: Reals, gains: Reals, fold: Chosen) -> Reals:
    """[S, N, L] the logits of all cases after each of `STEPS` of a fit on those outside ``fold``."""
    scaled = _scaled(states[~fold])
    weights = _descend(scaled.x, own[~fold], gains[~fold], STEPS)
    return np.asarray(own + states @ scaled.back.T @ weights.transpose(0, 2, 1))


def loss_of(logits: Reals, gains: Reals) -> float:
    """Cross entropy of the letters' chances, weighted by the gains; both [N, L]."""
    return float(-(gains * _log_chances(logits)).sum() / gains.sum())


def chances_of(states: Reals, rows: Reals) -> Reals:
    """[N, L] the chance of each letter, as a server gives it where no other token is allowed."""
    return np.asarray(np.exp(_log_chances(states @ rows.T)))


def _log_chances(logits: Reals) -> Reals:
    """Of logits [..., L]."""
    above = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(above - np.log(np.exp(above).sum(axis=-1, keepdims=True)))


def _scaled(states: Reals) -> _Scaled:
    """The states in units in which every direction is fitted as fast.

    An output layer has no bias. The share of a state along the mean state is nearly the same for all and stands in for
    one; what is taken from the other columns, so that their mean is 0, is that share of the mean.
    """
    mean = states.mean(axis=0)
    constant = mean / (mean @ mean)  # mean @ constant = 1
    rest = states - np.outer(states @ constant, mean)
    scale = rest.std(axis=0)
    scale = np.where(scale > 1e-6 * scale.max(), scale, np.inf)
    centred = (np.eye(len(mean)) - np.outer(mean, constant)) / scale[:, None]
    back = np.concatenate([constant[None, :], centred])
    return _Scaled(states @ back.T, back)


def _descend(x: Reals, own: Reals, gains: Reals, steps: Sequence[int]) -> Reals:
    """[S, L, D + 1] what is added to the rows at the start, which say ``own`` [N, L], after each of ``steps``.

    Gradient descent over all cases [N, D + 1] at once. It goes first where many states differ together and late where
    few do, so few steps are a penalty on weights. An adaptive step, as long in every direction, fits the noise of
    hundreds of directions at once.
    """
    weights, found = np.zeros((own.shape[1], x.shape[1])), []
    total, stake = gains.sum(), gains.sum(axis=1, keepdims=True)
    # The curvature of a cross entropy is at most half the weighted second moment of what it is fitted on.
    curvature = float(np.linalg.eigvalsh((x * stake).T @ x / total)[-1]) / 2
    x, own, gains, stake = (_in_blocks(each, weights.size) for each in (x, own, gains, stake))
    for step in range(1, steps[-1] + 1):
        chances = np.exp(_log_chances(own + x @ weights.T))
        slope = ((chances * stake - gains).swapaxes(1, 2) @ x).sum(axis=0)
        weights = weights - RATE / curvature * slope / total
        if step in steps:
            found.append(weights)
    return np.stack(found)


def _in_blocks(values: Reals, a_case: int) -> Reals:
    """[B, R, K] the ``values`` [N, K] in their order: R cases take ``a_case`` multiplications each, `AT_ONCE` at most.

    Rows of 0, which have no stake, fill the last block.
    """
    blocks = -(-len(values) // max(1, AT_ONCE // a_case))
    return np.pad(values, ((0, -len(values) % blocks), (0, 0))).reshape(blocks, -1, values.shape[1])
