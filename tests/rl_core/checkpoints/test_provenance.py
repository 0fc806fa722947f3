"""What was held out, and what a generated world says of itself."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rl_core.checkpoints.manifest import Identity
from rl_core.checkpoints.provenance import (
    WORLDS_FILE,
    TrainingWorlds,
    WorldCard,
    check_unchanged,
    declared,
    first_held_out,
    foreign_market,
    read_world,
    touches_training,
    trading_of,
    trained_in,
    training_worlds,
    world_of,
    world_traded,
    write_world,
)
from rl_core.exchange.instruments import instrument
from rl_core.trading.setup import TradingConfig
from rl_core.worlds.planted_edge import PlantedEdge
from tests.rl_core.markets import random_bars, session_minutes
from trigate.errors import DataError

BARS = random_bars(0, session_minutes(2), missing=0.9)


def identity(trained_until_ns: int, digest: str = BARS.digest) -> Identity:
    """Of a checkpoint trained up to a time."""
    trading = TradingConfig().model_dump(mode="json")
    return Identity(
        phase=1,
        market="NQ",
        step=1,
        observation_size=225,
        actions=("hold", "buy", "sell"),
        fingerprint="f",
        features={},
        config={"trading": trading, "trained_until_ns": trained_until_ns},
        data_digest=digest,
    )


@pytest.mark.parametrize("first", [0, 1, 77])
def test_the_first_bar_after_training_is_held_out(first: int) -> None:
    assert first_held_out(identity(int(BARS.ts_event_ns[first])), BARS) == first


def test_later_bars_of_another_file_are_all_held_out_and_earlier_ones_are_not() -> None:
    later = BARS.slice(100, len(BARS))

    assert first_held_out(identity(int(BARS.ts_event_ns[50])), later) == 0
    assert first_held_out(identity(int(BARS.ts_event_ns[150])), later) == 50


def test_bars_that_were_all_trained_on_are_refused() -> None:
    """And those that lie before the training, which nobody was trained on either: both times are told."""
    last = str(np.datetime64(int(BARS.ts_event_ns[-1]), "ns"))[:16]

    with pytest.raises(DataError, match=f"until 2030-01-02T03:04Z, and the last one here is of {last}Z; give later"):
        first_held_out(identity(int(np.datetime64("2030-01-02T03:04", "ns").astype(np.int64))), BARS)


@pytest.mark.parametrize(
    ("trained", "met", "said"),
    [
        ("NQ", "NQ", ""),
        ("NQ", "MNQ", ""),
        ("MNQ", "NQ", ""),
        ("NQ+ES", "MES", ""),
        ("NQ", "ES", "the policy was trained on NQ, and these are bars of ES, which it never saw"),
        ("NQ+ES", "CL", "the policy was trained on NQ and ES, and these are bars of CL, which it never saw"),
    ],
)
def test_a_market_that_the_policy_never_saw_is_said(trained: str, met: str, said: str) -> None:
    """A micro has the prices of its mini, and counts as the same market."""
    policy = identity(0).model_copy(update={"market": trained})

    assert foreign_market(policy, replace(BARS, instrument=instrument(met))) == said


def test_the_account_is_that_of_the_training() -> None:
    assert trading_of(identity(0)) == TradingConfig()


def test_a_world_says_beside_its_bars_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "NQ_D1M.parquet"
    assert read_world(path, BARS.digest) is None

    write_world(path, BARS, PlantedEdge("planted", 0.25, None), seed=7)  # type: ignore[arg-type]

    card = read_world(path, BARS.digest)
    assert card is not None and (card.declaration, card.expectancy_r, card.seed) == ("planted", 0.25, 7)
    with pytest.raises(DataError, match="describes other bars"):
        read_world(path, "another")


def test_bars_before_the_end_of_training_are_in_sample_and_later_ones_are_not() -> None:
    trained = identity(int(BARS.ts_event_ns[50]))

    assert [touches_training(trained, BARS, first) for first in (0, 49, 50, 51)] == [True, True, False, False]


WORLD = replace(BARS, world=json.dumps({"declaration": "planted", "expectancy_r": 0.25, "seed": 7}))
CARD = WorldCard(declaration="planted", expectancy_r=0.25, seed=7, digest=BARS.digest)


@pytest.mark.parametrize(
    ("first", "last", "trained"),
    [
        ("2024-03-11", "2024-03-14", False),  # left out
        ("2024-03-10", "2024-03-14", True),
        ("2024-03-11", "2024-03-15", True),
        ("2024-02-01", "2024-02-29", False),
        ("2024-03-29", "2024-04-05", False),  # train_until is not trained on
        ("2024-03-28", "2024-04-05", True),
    ],
)
def test_sessions_between_those_that_trained_are_known_by_the_dates(first: str, last: str, trained: bool) -> None:
    """Trained from 1 to 28 March without 11 to 14 March."""
    dates = {"train_from": "2024-03-01", "train_until": "2024-03-29", "left_out": [["2024-03-11", "2024-03-14"]]}
    plain = identity(0)
    both_sides = plain.model_copy(update={"config": {**plain.config, **dates}})
    days = (int(np.datetime64(day, "D").astype(int)) for day in (first, last))

    assert trained_in(both_sides, *days) is trained


def test_bars_that_say_they_are_a_world_are_one_wherever_they_lie(tmp_path: Path) -> None:
    """No card lies beside the file."""
    assert world_of(WORLD) == CARD == world_traded(tmp_path / "copy.parquet", WORLD, ())
    assert world_of(BARS) is None


def test_a_declaration_that_is_none_is_refused() -> None:
    for text in ("{", "[]", '{"declaration": "planted"}', '{"digest": "d"}'):
        with pytest.raises(DataError, match="cannot be read"):
            world_of(replace(BARS, world=text))


def test_the_card_beside_a_file_is_as_good_as_its_own_declaration(tmp_path: Path) -> None:
    path = tmp_path / "NQ_D1M.csv"
    write_world(path, BARS, PlantedEdge("planted", 0.25, None), seed=7)  # type: ignore[arg-type]

    assert world_of(declared(path, BARS)) == CARD
    assert declared(tmp_path / "market.csv", BARS) == BARS


def test_a_copy_without_its_card_is_recognised_by_the_digest_that_the_checkpoint_knows(tmp_path: Path) -> None:
    """Another file of the same world has another digest: then only the policy's origin tells."""
    assert world_traded(tmp_path / "copy.csv", BARS, (CARD,)) == CARD
    assert world_traded(tmp_path / "copy.csv", BARS.slice(0, 50), (CARD,)) is None


def test_a_checkpoint_knows_the_worlds_it_was_trained_on(tmp_path: Path) -> None:
    (tmp_path / WORLDS_FILE).write_text(TrainingWorlds(worlds=(CARD,)).model_dump_json())

    assert training_worlds(tmp_path) == (CARD,)
    (tmp_path / WORLDS_FILE).write_text("{")
    with pytest.raises(DataError, match="restore the checkpoint"):
        training_worlds(tmp_path)


def test_an_older_checkpoint_is_asked_where_its_run_found_its_bars(tmp_path: Path) -> None:
    """Files of two markets, of which the second is a world; then another world lies under its name."""
    checkpoint = tmp_path / "run/checkpoints/phase1_jax_final_64"
    checkpoint.mkdir(parents=True)
    path = tmp_path / "ES_D1M.csv"
    assert training_worlds(checkpoint) == ()

    write_world(path, BARS, PlantedEdge("planted", 0.25, None), seed=7)  # type: ignore[arg-type]
    source = {"bars": str(tmp_path / "gone.csv"), "market": "NQ", "digest": "other", "more": [
        {"bars": str(path), "market": "ES", "digest": BARS.digest}]}  # fmt: skip
    (tmp_path / "run/source.json").write_text(json.dumps(source))
    known = training_worlds(checkpoint)
    write_world(path, BARS.slice(0, 50), PlantedEdge("planted", 0.25, None), seed=7)  # type: ignore[arg-type]

    assert known == (CARD,) and training_worlds(checkpoint) == ()


def test_a_broken_card_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv.world.json").write_text("{}")

    with pytest.raises(DataError, match="cannot be read"):
        read_world(tmp_path / "a.csv", "d")


def test_bars_that_were_replaced_are_told_from_those_that_were_read(tmp_path: Path) -> None:
    check_unchanged(tmp_path / "NQ_D1M.csv", BARS.digest, BARS.digest)

    with pytest.raises(DataError, match=r"NQ_D1M.csv: file_changed"):
        check_unchanged(tmp_path / "NQ_D1M.csv", BARS.slice(0, 10).digest, BARS.digest)
