"""What can be explained of a critic's targets is found where it is known: by hand, and on made processes."""

import numpy as np
import pytest

from bench.critic import (
    NEVER,
    States,
    explained,
    explained_by_one_step,
    held_out_prediction,
    since_signal,
    without_critic,
)
from rl_core.proofs.learners import Snapshot

CARRIED, NOISE = 0.8, 1.5
BARS, ACCOUNTS = 400, 400


def process() -> tuple[States, np.ndarray, np.ndarray]:
    """Rewards x + noise, where x is 0 or 1 anew at every bar; a critic that says 0; x as what is known, sessions."""
    random = np.random.default_rng(2)
    known = random.integers(0, 2, (BARS, ACCOUNTS)).astype(float)
    reward = known + NOISE * random.normal(size=known.shape)
    target = np.zeros_like(reward)
    following = np.zeros(ACCOUNTS)
    for bar in range(BARS - 1, -1, -1):
        target[bar] = following = reward[bar] + CARRIED * following
    done = np.zeros(known.shape, bool)
    done[-1] = True
    states = States(
        np.zeros(known.shape, int), np.zeros((*known.shape, 5)), np.zeros_like(reward), target, reward, done
    )
    cells = known.reshape(-1, 1) == np.array([0.0, 1.0])
    return states, cells.astype(float), np.tile(np.arange(ACCOUNTS), BARS)


def test_a_target_is_explained_by_what_is_known_of_it_and_no_more() -> None:
    """Var(x) = 1/4, Var(target) = (1/4 + 1.5^2) / (1 - 0.8^2): 0.25 x 0.36 / 2.5 = 3.6 %."""
    states, known, session = process()
    target = states.target.reshape(-1)

    share = explained(target, held_out_prediction(known, target, session), session)

    assert share.value == pytest.approx(0.036, abs=0.006)
    assert 0 < share.error < 0.006


def test_one_bar_s_surprises_leave_what_was_expected_at_each() -> None:
    """Of every reward the noise is a surprise, the rest is not: 1 - 2.25 / 2.5 = 10 %, as it counts later x, too."""
    states, known, session = process()

    share = explained_by_one_step(states, known, session, carried=CARRIED)

    assert share.value == pytest.approx(0.1, abs=0.02)


def test_what_was_learned_of_some_sessions_is_judged_on_others() -> None:
    """A column that names the row fits all of it, and explains nothing elsewhere."""
    random = np.random.default_rng(3)
    target, session = random.normal(size=40), np.arange(40)

    share = explained(target, held_out_prediction(100 * np.eye(40), target, session), session)

    assert share.value < 0.01


def test_minutes_and_side_of_the_last_signal() -> None:
    minutes, side = since_signal(np.array([0, 1, 0, -1, 0], np.int8))

    assert minutes.tolist() == [NEVER, 0, 1, 0, 1]
    assert side.tolist() == [0, 1, 1, -1, -1]


def test_a_critic_that_is_taken_away_says_nothing_and_the_actor_stays() -> None:
    head = {"kernel": np.ones((2, 1)), "bias": np.ones(1)}
    parameters = {"actor": {"head": head}, "critic": {"dense_0": head, "head": head}}

    learned = without_critic(Snapshot(1, 1.0, [(parameters, None)])).learned[0][0]  # type: ignore[list-item]

    assert not learned["critic"]["head"]["kernel"].any() and not learned["critic"]["head"]["bias"].any()
    assert learned["actor"]["head"] is head and learned["critic"]["dense_0"] is head
    assert parameters["critic"]["head"]["kernel"].all()
