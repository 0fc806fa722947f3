"""A policy that manages, decided for many closes at once, against the same policy asked at every close."""

from collections import Counter
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pytest

from rl_core.checkpoints.policy import Decider
from rl_core.contract import HOLD
from rl_core.evaluation.carried import CARRIED, FRESH, Accounts, play_carried
from rl_core.evaluation.entrants import Moment, Trained
from rl_core.evaluation.span import Span
from rl_core.market.types import INTRADAY, NEVER_LOCKS, STATIC
from rl_core.trading.hours import EntryHours
from rl_core.trading.setup import Trading
from tests.rl_core.markets import MNQ, legacy_pack, mnq_limits, mnq_venue, small_view


@dataclass
class AskedAtEveryClose:
    """The same decisions, of somebody whom no path takes for a policy."""

    policy: Decider
    phase: int = 2
    chosen: Counter[int] = field(default_factory=Counter)

    def entries(self) -> None:
        """It is not known before."""

    def bracket_at(self, bar: int) -> None:
        """The usual one."""

    def choose(self, moment: Moment) -> int:
        """As the policy decides alone."""
        action = Trained(self.policy).choose(moment)
        self.chosen[action] += 1
        return action


class ByEveryBit(Decider):
    """Scores that any other bit of an observation would change: mostly those of somebody who waits."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    @property
    def num_actions(self) -> int:
        """It manages."""
        return 6

    def logits(self, observation: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Of one observation [O], or of several [N, O]."""
        rows = observation.reshape(-1, observation.shape[-1]) + np.float32(0)  # -0.0 and 0.0 are one number
        drawn = [np.random.default_rng(crc32(row.tobytes(), self._seed)).random(6) for row in rows]
        scores = np.array(drawn, np.float32) + np.array([0.35, 0, 0, 0, 0, 0], np.float32)
        return scores.reshape(*observation.shape[:-1], 6)


@pytest.mark.parametrize(("accounts", "ratchet", "seed"), [(FRESH, INTRADAY, 1), (CARRIED, STATIC, 2)])
def test_the_path_is_that_of_a_policy_that_is_asked_at_every_close(accounts: Accounts, ratchet: int, seed: int) -> None:
    view, policy = small_view(seed, sessions=3), ByEveryBit(seed)
    rules = mnq_venue().rules._replace(ratchet=ratchet, floor_cap=NEVER_LOCKS)
    venue = mnq_venue()._replace(rules=rules)
    trading = Trading(legacy_pack(), MNQ, venue, mnq_limits(), EntryHours())
    span, asked = Span(1400, len(view.bars)), AskedAtEveryClose(policy)

    path = play_carried(Trained(policy), view, trading, span, accounts=accounts)
    slow = play_carried(asked, view, trading, span, accounts=accounts)

    assert np.array_equal(np.stack(path.trades), np.stack(slow.trades)) and len(path.trades.session) > 5
    assert np.array_equal(path.ordered, slow.ordered) and path.ended == slow.ended
    assert sum(asked.chosen[action] for action in (3, 4, 5)) > 0 < asked.chosen[HOLD], "it manages, and it waits"
