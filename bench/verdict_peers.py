"""What the package `overfit-gauntlet` says of the same series: a word from PSR, DSR, sign permutation, purged folds.

It is no dependency. `pip install --no-deps --target FOLDER overfit-gauntlet`, then PYTHONPATH=FOLDER.
"""

from importlib.metadata import version
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

PACKAGE = "overfit-gauntlet"
RISK_SHARE = 0.01  # of the account, in one trade: R become returns; every figure that decides is free of it
PASSED, REFUSED = "VALIDATED", "not VALIDATED"


def gauntlet_version() -> str | None:
    """The installed version; None where there is none."""
    return version(PACKAGE) if find_spec("overfit_gauntlet") is not None else None


def gauntlet_words(r: npt.NDArray[np.float64], trials: tuple[int, ...]) -> list[str]:
    """`VALIDATED`, or that it is not, for R a session [N], told of so many ``trials`` each.

    Its verdict needs every one of its bars, so the slow ones, which resample, are asked only where the quick ones hold.
    """
    from overfit_gauntlet import run_gauntlet
    from overfit_gauntlet.gauntlet import DSR_BAR, PSR_BAR
    from overfit_gauntlet.stats import deflated_sharpe, probabilistic_sharpe

    returns = RISK_SHARE * r
    if probabilistic_sharpe(returns) <= PSR_BAR:
        return [REFUSED] * len(trials)
    # What is told changes nothing but the deflated ratio: one run serves all.
    alone = run_gauntlet(returns, n_trials=1).verdict.name == PASSED
    deflated = [deflated_sharpe(returns, n_trials=told) > DSR_BAR for told in trials]
    return [PASSED if alone and held else REFUSED for held in deflated]
