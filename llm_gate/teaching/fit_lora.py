"""Fits adapters on a model's upper layers, and the letters' rows with them, on what cases earned.

The target is that of `fit_head`. The rows begin where the fit of the output layer alone ended, so that the adapters
teach what one matrix could not tell. The last fold but one stops the fit; the last says whether the adapters found
anything. Where they did not, what the output layer alone found over all folds is kept without them.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from llm_gate.teaching.dealt_anew import luck_of_leaning
from llm_gate.teaching.fit_head import Sessions, approving_rows, fit_rows, loss_of
from llm_gate.teaching.told_apart import LEAST_Z, told_apart, towards
from llm_gate.teaching.upper_layers import BelowUpper, UpperLayers

MOST_EPOCHS, PATIENCE = 12, 3
"""Passes over the cases; after so many without a smaller loss on the fold that stops, the fit ends."""
BATCH = 8
RATE_ADAPTERS, RATE_ROWS = 1e-4, 1e-5
"""Of AdamW."""
DECAY = 0.01

Reals = npt.NDArray[np.float64]
Chosen = npt.NDArray[np.bool_]
Epoch = Callable[[str, int, int], None]
"""Told what is fitted, which pass began, and of at most how many."""


class LoraFit(NamedTuple):
    """Rows [L, D] and weights of the upper layers that replace the model's, and how they were found."""

    rows: Reals
    changed: dict[str, Any]
    """Tensors by name; empty where the adapters found nothing."""
    steps: int
    """Passes over all cases; 0 where the adapters found nothing."""
    loss_stopped: float
    """On the last fold but one, of the fit on those before it."""
    loss_taught: float
    """On the last fold, of the same."""
    loss_fitted: float
    """On the folds that were fitted, while that pass went over them."""
    loss_same: float
    """On the last fold, of one answer for all cases."""
    loss_before: float
    """On the last fold, with the model's own rows."""
    apart: float
    """Standard errors by which the adapters tell the cases of the last fold apart; where they found nothing, by which
    the output layer alone tells those of all folds."""
    luck: float
    """Share of dealings of the outcomes that tell them apart as well."""
    found: bool
    """Whether the adapters tell the cases of the last fold apart, or the output layer alone those of all folds, each
    left out (`told_apart`); then its rows are taught without them."""


class AdapterCases(NamedTuple):
    """Cases as the upper layers see them, and what each letter would have earned."""

    below: BelowUpper
    gains: Reals
    """[N, L]"""
    session: Sessions
    """[N]"""

    def of(self, chosen: Chosen) -> "AdapterCases":
        """Those of ``chosen`` [N]."""
        return AdapterCases(self.below.of(chosen), self.gains[chosen], self.session[chosen])


class _Pass(NamedTuple):
    """What a fit had come to after some passes."""

    epochs: int
    stopping: float  # loss
    fitted: float  # loss, of each batch before its step
    last: Reals  # [N, L] logits of the last fold


def fit_lora(
    upper: UpperLayers, cases: AdapterCases, rows: Reals, folds: Sequence[Chosen], *, approve: int, epoch: Epoch
) -> LoraFit:
    """Adapters and rows that fit the gains, from a model whose rows for the letters are ``rows`` [L, D].

    The same cases and seed give the same weights.
    """
    *_, stopping, last = folds
    gains = cases.gains
    fitted = ~(stopping | last)
    states = _states(upper, cases.below)
    before = [fold[fitted] for fold in folds[:-2]]
    start = fit_rows(states[fitted], gains[fitted], rows, before, session=cases.session[fitted], approve=approve).rows
    best = _Fitting(upper, start).until_it_stops(cases.of(fitted), cases.of(stopping), cases.of(last), epoch)
    unseen, judged = cases.of(last), np.ones(int(last.sum()), bool)
    leaning, earned = towards(approve, best.last), towards(approve, unseen.gains)
    apart = told_apart(leaning, earned, unseen.session, [judged])
    found = apart > LEAST_Z
    head = fit_rows(states, gains, rows, folds, session=cases.session, approve=approve)
    final = head.rows if head.found else approving_rows(states, rows, approve)
    changed: dict[str, Any] = {}
    if found:
        final, changed = _Fitting(upper, head.rows).for_epochs(cases, best.epochs, epoch)
    return LoraFit(
        rows=final,
        changed=changed,
        steps=best.epochs if found else 0,
        loss_stopped=best.stopping,
        loss_taught=loss_of(best.last, gains[last]),
        loss_fitted=best.fitted,
        loss_same=loss_of(np.broadcast_to(_same(gains[fitted]), unseen.gains.shape), unseen.gains),
        loss_before=loss_of(states[last] @ rows.T, gains[last]),
        apart=apart if found else head.apart,
        luck=luck_of_leaning(leaning, earned, unseen.session) if found else head.luck,
        found=found or head.found,
    )


class _Fitting:
    """One fit, from its first pass on."""

    def __init__(self, upper: UpperLayers, rows: Reals) -> None:
        import torch

        self._torch, self._upper = torch, upper
        self._rows = torch.nn.Parameter(torch.from_numpy(rows.astype(np.float32)).to(upper.device))
        self._order = np.random.default_rng(upper.seed)

    def until_it_stops(self, cases: AdapterCases, stopping: AdapterCases, last: AdapterCases, epoch: Epoch) -> _Pass:
        """Fit ``cases`` until the loss on ``stopping`` falls no more: what the best pass said of ``last``."""
        with self._upper.adapted() as adapted:
            optimizer = self._optimizer(adapted)
            best = self._now(0, self._loss(cases), stopping, last)
            number = 0
            while number < MOST_EPOCHS and number - best.epochs < PATIENCE:
                number += 1
                epoch("folds", number, MOST_EPOCHS)
                now = self._now(number, self._pass(cases, optimizer), stopping, last)
                best = min(best, now, key=lambda fit: fit.stopping)
        return best

    def for_epochs(self, cases: AdapterCases, epochs: int, epoch: Epoch) -> tuple[Reals, dict[str, Any]]:
        """The rows, and the merged weights, after so many passes over ``cases``."""
        with self._upper.adapted() as adapted:
            optimizer = self._optimizer(adapted)
            for number in range(1, epochs + 1):
                epoch("all cases", number, epochs)
                self._pass(cases, optimizer)
            changed = self._upper.merged(adapted)
        return self._rows.detach().cpu().numpy().astype(np.float64), changed

    def _optimizer(self, adapted: Any) -> Any:
        adapters = [weight for weight in adapted.parameters() if weight.requires_grad]
        groups = [{"params": adapters, "lr": RATE_ADAPTERS}, {"params": [self._rows], "lr": RATE_ROWS}]
        return self._torch.optim.AdamW(groups, weight_decay=DECAY)

    def _pass(self, cases: AdapterCases, optimizer: Any) -> float:
        """The mean loss of one pass over ``cases``."""
        torch, usual, total = self._torch, cases.gains.sum(axis=1).mean(), 0.0
        for batch in np.array_split(self._order.permutation(len(cases.gains)), -(-len(cases.gains) // BATCH)):
            below = BelowUpper(cases.below.states[batch], cases.below.tokens[batch])
            logits = self._upper.states(below) @ self._rows.T
            gains = torch.from_numpy((cases.gains[batch] / usual).astype(np.float32)).to(logits.device)
            loss = -(gains * torch.log_softmax(logits, dim=1)).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        return total / len(cases.gains)

    def _now(self, number: int, fitted: float, stopping: AdapterCases, last: AdapterCases) -> _Pass:
        return _Pass(number, self._loss(stopping), fitted, self._logits(last))

    def _loss(self, cases: AdapterCases) -> float:
        return loss_of(self._logits(cases), cases.gains)

    def _logits(self, cases: AdapterCases) -> Reals:
        rows = self._rows.detach().cpu().numpy().astype(np.float64)
        return np.asarray(_states(self._upper, cases.below) @ rows.T)


def _states(upper: UpperLayers, below: BelowUpper) -> Reals:
    """[N, D] of all cases, in batches, without a gradient."""
    import torch

    found = []
    for batch in np.array_split(np.arange(len(below.tokens)), -(-len(below.tokens) // BATCH)):
        with torch.inference_mode():
            found.append(upper.states(BelowUpper(below.states[batch], below.tokens[batch])).cpu().numpy())
    return np.asarray(np.concatenate(found), np.float64)


def _same(gains: Reals) -> Reals:
    """[L] the log chances of one answer for all that fit ``gains`` [N, L] best."""
    return np.asarray(np.log(gains.sum(axis=0) / gains.sum()))
