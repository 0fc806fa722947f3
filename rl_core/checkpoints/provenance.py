"""Where bars and checkpoints come from: a world's card, a checkpoint's account, what was held out; no JAX."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from rl_core.bars.bars import Bars
from rl_core.checkpoints.manifest import Identity
from rl_core.trading.setup import TradingConfig
from rl_core.worlds.planted_edge import PlantedEdge
from trigate.errors import DataError
from trigate.whole_files import write_whole


class WorldCard(BaseModel):
    """What generated bars are; lies beside the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    declaration: str
    expectancy_r: float
    seed: int
    digest: str


def trading_of(identity: Identity) -> TradingConfig:
    """The account that a checkpoint was trained with."""
    return TradingConfig.model_validate(identity.config["trading"])


def first_held_out(identity: Identity, bars: Bars) -> int:
    """Index of the first bar that was not trained on.

    Raises:
        DataError: every bar was.
    """
    first = int((bars.ts_event_ns < int(identity.config["trained_until_ns"])).sum())
    if first >= len(bars):
        raise DataError("every bar of this file was trained on; give other bars, or train with a smaller train_share")
    return first


def check_unchanged(path: Path, digest: str, recorded: str) -> None:
    """The bars of ``path`` are still those that were read before.

    Raises:
        DataError: their digest is another.
    """
    if digest != recorded:
        raise DataError(f"{path}: file_changed: its bars are not those that were read before; give the same file again")


def write_world(bars_path: Path, bars: Bars, edge: PlantedEdge, *, seed: int) -> None:
    """Say beside a generated file what it is."""
    card = WorldCard(declaration=edge.text, expectancy_r=edge.expectancy_r, seed=seed, digest=bars.digest)
    write_whole(_card_path(bars_path), card.model_dump_json(indent=1) + "\n")


def carry_world(bars_path: Path, bars: Bars, copy: Path) -> None:
    """Say beside a copy of ``bars`` what their file says they are; nothing of a market's.

    Raises:
        DataError: the card is broken, or belongs to other bars; rows that a person left out are still of its world.
    """
    if not _found_card(bars_path).exists():
        return
    card = _read_card(bars_path) if bars.left_out else read_world(bars_path, bars.digest)
    assert card is not None, "it exists"
    copied_card = card.model_copy(update={"digest": bars.digest})
    write_whole(_card_path(copy), copied_card.model_dump_json(indent=1) + "\n")


def read_world(bars_path: Path, digest: str) -> WorldCard | None:
    """What the bars are, if they were generated; None for a market's.

    Raises:
        DataError: the card is broken, or belongs to other bars.
    """
    path = _found_card(bars_path)
    if not path.exists():
        return None
    card = _read_card(bars_path)
    if card.digest != digest:
        raise DataError(f"{path}: describes other bars than {bars_path.name}; write the world again")
    return card


def _read_card(bars_path: Path) -> WorldCard:
    path = _found_card(bars_path)
    try:
        return WorldCard.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path}: cannot be read; write the world again with rl-core data demo") from error


def _found_card(bars_path: Path) -> Path:
    """The card beside a name, else the one beside the file that a link of this name leads to."""
    beside = _card_path(bars_path)
    return beside if beside.exists() else _card_path(bars_path.resolve())


def _card_path(bars_path: Path) -> Path:
    return bars_path.with_name(bars_path.name + ".world.json")
