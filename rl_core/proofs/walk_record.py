"""What a walk forward left, read again without JAX: which sessions taught each policy, and which may judge it."""

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trigate.errors import ConfigError

RECORD = "walk_forward.json"


class WalkedFold(BaseModel):
    """One fold of the record; spans are as `Sessions.label` writes them."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    fold: int
    locked: bool
    trained_on: str
    left_to_gate: str | None = None
    judged_on: str
    sessions: int = Field(description="that were judged")
    trades: list[int] = Field(description="of each seed")
    r_a_session: list[float] = Field(description="of each seed")


class Walked(BaseModel):
    """The record of a walk, as far as a gate needs it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    phase: int = Field(ge=1, le=2)
    folds: list[WalkedFold] = Field(min_length=1)
    seeds: dict[int, float]
    openings_of_the_locked_fold: int


def read_walked(folder: Path) -> Walked:
    """The record of the walk in ``folder``.

    Raises:
        ConfigError: there is none, or one of an older version.
    """
    path = folder / RECORD
    try:
        return Walked.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name the folder that rl-core walk-forward wrote to") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {where}: {first['msg']}; walk again, which trains nothing anew") from None


def days_of(label: str) -> tuple[int, int]:
    """The first and the last day of a span, days since 1970-01-01.

    Raises:
        ConfigError: the label is none of ours.
    """
    try:
        first, last = (int(np.datetime64(day, "D").astype(np.int64)) for day in label.split(" to "))
    except ValueError:
        raise ConfigError(f"{label!r} in {RECORD}: two dates with 'to' between were expected") from None
    return first, last


def fold_folder(out: Path, fold: int) -> Path:
    """The runs of one fold of the walk in ``out``."""
    return out / f"fold-{fold}"


def run_in(folder: Path, seed: int, phase: int) -> Path:
    """The run of one seed and phase, in the ``folder`` of its fold or split."""
    return folder / f"seed-{seed}" / f"phase{phase}"
