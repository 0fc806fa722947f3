"""Where bars and checkpoints come from: a world's card, a checkpoint's account, what was held out; no JAX."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from rl_core.bars.bars import Bars
from rl_core.checkpoints.manifest import Identity
from rl_core.exchange.instruments import instrument
from rl_core.trading.setup import TradingConfig
from rl_core.worlds.planted_edge import PlantedEdge
from trigate.errors import DataError
from trigate.whole_files import write_whole

NS_A_MINUTE = 60 * 10**9
WORLDS_FILE = "worlds.json"
"""In a checkpoint: the worlds that it was trained on, those of its phase 1 included."""


class WorldCard(BaseModel):
    """What generated bars are; lies beside the file, and inside a parquet file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    declaration: str
    expectancy_r: float
    seed: int
    digest: str


class TrainingWorlds(BaseModel):
    """The file `worlds.json` of a checkpoint; empty for a policy that was trained on markets alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    worlds: tuple[WorldCard, ...] = ()


class _Source(BaseModel):
    """The `source.json` of a run: where its bars lay. The oldest checkpoints record nothing else of their worlds."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    bars: Path
    digest: str
    more: tuple["_Source", ...] = ()


def trading_of(identity: Identity) -> TradingConfig:
    """The account that a checkpoint was trained with."""
    return TradingConfig.model_validate(identity.config["trading"])


def first_held_out(identity: Identity, bars: Bars) -> int:
    """Index of the first bar that was not trained on.

    Raises:
        DataError: none comes after those that were.
    """
    until = trained_until_ns(identity)
    first = int((bars.ts_event_ns < until).sum())
    if first >= len(bars):
        end, last = (np.datetime64(int(ns) // NS_A_MINUTE, "m") for ns in (until, bars.ts_event_ns[-1]))
        raise DataError(
            f"nothing is held out: the policy was trained on bars until {end}Z, and the last one here is of {last}Z; "
            "give later bars, or train with a smaller train_share"
        )
    return first


def foreign_market(identity: Identity, bars: Bars) -> str:
    """A warning where a policy meets a market that it was not trained on; "" where it was.

    A micro contract has the prices of the contract that it is a part of, so their bars are of one market.
    """
    trained = identity.market.split("+")
    met = bars.instrument
    if any(met.symbol in (known, instrument(known).micro) or known == met.micro for known in trained):
        return ""
    return f"the policy was trained on {' and '.join(trained)}, and these are bars of {met.symbol}, which it never saw"


def touches_training(identity: Identity, bars: Bars, first: int) -> bool:
    """Whether bars from index ``first`` on include some that lie before the end of the training bars.

    The end is the latest of all markets of the policy and of its phase 1. Time alone decides: another market of the
    same hours moved with the one that was trained on.
    """
    return lies_in_training(trained_until_ns(identity), int(bars.ts_event_ns[first]))


def trained_in(identity: Identity, first_day: int, last_day: int) -> bool:
    """Whether the policy was trained on one of the sessions from ``first_day`` to ``last_day``, by its own settings.

    For a policy that was trained on both sides of them. Anywhere else time alone decides: `touches_training`.

    Args:
        identity: of a run that was told by dates what to train on.
        first_day: days since 1970-01-01, as sessions are numbered.
        last_day: included.
    """
    settings = identity.config
    days = np.arange(first_day, last_day + 1)
    trained = (days >= _day(settings["train_from"])) & (days < _day(settings["train_until"]))
    for first, last in settings.get("left_out", ()):
        trained &= (days < _day(first)) | (days > _day(last))
    return bool(trained.any())


def _day(text: str) -> int:
    return int(np.datetime64(text, "D").astype(np.int64))


def trained_until_ns(identity: Identity) -> int:
    """Where the training bars end, in ns UTC: the latest of all markets of the policy and of its phase 1."""
    return int(identity.config["trained_until_ns"])


def lies_in_training(trained_until_ns: int, ts_event_ns: int) -> bool:
    """Whether a bar that starts at ``ts_event_ns`` lies before the end of the training bars."""
    return ts_event_ns < trained_until_ns


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


def declared(bars_path: Path, bars: Bars) -> Bars:
    """``bars`` that say themselves what they are, where the card beside their file says it; raises as `read_world`."""
    card = None if bars.world else read_world(bars_path, bars.digest)
    return bars if card is None else replace(bars, world=card.model_dump_json(exclude={"digest"}))


def world_of(bars: Bars) -> WorldCard | None:
    """The card of bars that say themselves that they were generated; None for a market's.

    Raises:
        DataError: what they say is no declaration.
    """
    if not bars.world:
        return None
    try:
        return WorldCard(digest=bars.digest, **json.loads(bars.world))
    except (ValueError, TypeError) as error:
        raise DataError(f"the bars carry a declaration that cannot be read; write the world again: {error}") from error


def world_traded(bars_path: Path, bars: Bars, trained_on: Sequence[WorldCard]) -> WorldCard | None:
    """The world that ``bars`` are: as they or the card beside them declare, or as the policy's checkpoint knows them.

    A copy without its card, such as a csv, is recognised by its digest.
    """
    return world_of(declared(bars_path, bars)) or next(
        (card for card in trained_on if card.digest == bars.digest), None
    )


def training_worlds(checkpoint: Path) -> tuple[WorldCard, ...]:
    """The worlds that the checkpoint in this folder, or its phase 1, was trained on; empty for markets.

    A checkpoint that was saved before it kept them is asked where its run found its bars.

    Raises:
        DataError: the checkpoint's file of them cannot be read.
    """
    path = checkpoint / WORLDS_FILE
    if not path.exists():
        return _worlds_beside_bars(checkpoint.parent.parent / "source.json")
    try:
        return TrainingWorlds.model_validate_json(path.read_bytes()).worlds
    except (OSError, ValidationError) as error:
        raise DataError(f"{path}: cannot be read; restore the checkpoint from a copy") from error


def _worlds_beside_bars(source: Path) -> tuple[WorldCard, ...]:
    """The cards that still lie beside the bars which `source.json` names; a file that is gone says nothing."""
    try:
        known = _Source.model_validate_json(source.read_bytes())
    except (OSError, ValidationError):
        return ()
    cards = [_read_card(each.bars) for each in (known, *known.more) if _found_card(each.bars).exists()]
    digests = {each.digest for each in (known, *known.more)}
    return tuple(card for card in cards if card.digest in digests)


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
