"""The settings of a training run: one frozen model, read from a TOML file."""

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rl_core.envs.curriculum import Curriculum
from rl_core.ppo.config import PPOConfig
from rl_core.trading.setup import TradingConfig


class EpisodeConfig(BaseModel):
    """The account that a training episode starts with."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    least_room: float = Field(0.2, gt=0, le=1, description="room to the floor at the start, share of the limit")
    most_room: float = Field(1.0, gt=0, le=1)
    most_profit: float = Field(
        0.0, ge=0, lt=1, description="profit at the start is drawn up to this share of the target"
    )
    rules: Literal["strict", "relaxed"] = Field("strict", description="relaxed: no account fails; phase 1 only")

    @model_validator(mode="after")
    def _ordered(self) -> "EpisodeConfig":
        if self.least_room > self.most_room:
            raise ValueError(f"least_room {self.least_room:g} is above most_room {self.most_room:g}")
        return self


class CurriculumConfig(BaseModel):
    """What is easier in the first updates; everything is off by default, and always off at evaluation."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    cost_share: float = Field(1.0, ge=0, le=1, description="of a trade's costs that the reward bears at first")
    cost_updates: int = Field(0, ge=0)
    forced_share: float = Field(0.0, ge=0, le=1, description="of phase 2's episodes that start with a position")
    forced_updates: int = Field(0, ge=0)
    entry_bonus: float = Field(0.0, ge=0, le=1, description="R for an entry")
    entry_updates: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _ends(self) -> "CurriculumConfig":
        for name, is_on in (
            ("cost", self.cost_share < 1),
            ("forced", self.forced_share > 0),
            ("entry", self.entry_bonus > 0),
        ):
            if is_on != (getattr(self, f"{name}_updates") > 0):
                raise ValueError(f"{name}_updates must say when it has ended, and only where it is on")
        return self

    def compiled(self) -> Curriculum | None:
        """The curriculum in the environment's form; None where everything is off."""
        if self == CurriculumConfig():
            return None
        cost_milli = round(1000 * self.cost_share)
        costs, forced = (cost_milli, self.cost_updates), (self.forced_share, self.forced_updates)
        return Curriculum(*costs, *forced, self.entry_bonus, self.entry_updates)


class TrainConfig(BaseModel):
    """One phase of training."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    phase: Literal[1, 2] = 1
    mirror: bool = Field(False, description="half of the environments play the market upside down")
    train_share: float = Field(0.8, gt=0, le=1, description="of the sessions, from the first; the rest is held out")
    train_from: date | None = Field(None, description="first session that is trained on; default: the first there is")
    train_until: date | None = Field(None, description="first session that is not trained on, instead of train_share")
    left_out: tuple[tuple[date, date], ...] = Field(
        (), description="between those two: sessions from a first to a last date that are not trained on either"
    )
    ppo: PPOConfig = PPOConfig()
    trading: TradingConfig = TradingConfig()
    episodes: EpisodeConfig = EpisodeConfig()
    curriculum: CurriculumConfig = CurriculumConfig()
    checkpoint_every_updates: int = Field(128, gt=0, description="saved when next looked at after each multiple of it")
    checkpoints_kept: int = Field(2, gt=0, description="of those on the way; the final one is always kept")

    @model_validator(mode="after")
    def _a_span(self) -> "TrainConfig":
        if self.train_from is not None and self.train_until is not None and self.train_from >= self.train_until:
            raise ValueError(f"train_from {self.train_from} is not before train_until {self.train_until}")
        for first, last in self.left_out:
            if first > last:
                raise ValueError(f"left_out: {first} is after {last}")
        return self

    @model_validator(mode="after")
    def _of_its_phase(self) -> "TrainConfig":
        if self.phase == 2 and self.episodes.rules == "relaxed":
            raise ValueError("episodes.rules = 'relaxed' is for phase 1: phase 2 manages under the account's own rules")
        if self.phase == 1 and self.curriculum.forced_share:
            raise ValueError("curriculum.forced_share is for phase 2: phase 1 cannot manage a position")
        if self.phase == 1 and self.ppo.known_entries and self.curriculum.compiled() is not None:
            raise ValueError(
                "curriculum eases the rewards of played bars, from which phase 1 learns with ppo.known_entries = false"
            )
        return self
