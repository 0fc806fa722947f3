"""What was held out, and what a generated world says of itself."""

from pathlib import Path

import pytest

from rl_core.checkpoints.manifest import Identity
from rl_core.checkpoints.provenance import check_unchanged, first_held_out, read_world, trading_of, write_world
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
    with pytest.raises(DataError, match="every bar of this file was trained on"):
        first_held_out(identity(int(BARS.ts_event_ns[-1]) + 1), BARS)


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


def test_a_broken_card_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv.world.json").write_text("{}")

    with pytest.raises(DataError, match="cannot be read"):
        read_world(tmp_path / "a.csv", "d")


def test_bars_that_were_replaced_are_told_from_those_that_were_read(tmp_path: Path) -> None:
    check_unchanged(tmp_path / "NQ_D1M.csv", BARS.digest, BARS.digest)

    with pytest.raises(DataError, match=r"NQ_D1M.csv: file_changed"):
        check_unchanged(tmp_path / "NQ_D1M.csv", BARS.slice(0, 10).digest, BARS.digest)
