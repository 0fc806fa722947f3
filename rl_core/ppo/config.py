"""The learner's settings: one frozen slice of a run's TOML file."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class EntropyControl(BaseModel):
    """The entropy that the policy should keep where it has a choice, and how fast its coefficient may follow."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    share: float = Field(0.5, gt=0, lt=1, description="of the entropy of choosing evenly: log of the legal actions")
    nats: float | None = Field(None, gt=0, description="a fixed entropy instead of a share")
    least: float = Field(1e-4, gt=0, description="bounds of the coefficient")
    most: float = Field(0.1, gt=0)
    most_change: float = Field(1.1, gt=1, description="factor by which one update may move it")

    @model_validator(mode="after")
    def _ordered(self) -> "EntropyControl":
        if self.least > self.most:
            raise ValueError(f"least {self.least:g} is above most {self.most:g}")
        return self


class PPOConfig(BaseModel):
    """How one phase learns; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    num_envs: int = Field(32, gt=0, description="accounts that play at once; only more fill a GPU")
    rollout_length: int = Field(128, gt=0, description="bars per environment and update")
    total_steps: int = Field(1_048_576, gt=0, description="bars over all environments; rounded down to whole updates")
    epochs: int = Field(4, gt=0, description="passes over a rollout")
    minibatches: int = Field(4, gt=0, description="optimiser steps per pass")
    seed: int = Field(0, ge=0, lt=2**32, description="JAX takes 32 bits of it: a larger one would be another's twin")

    learning_rate: float = Field(3e-4, gt=0)
    final_learning_rate: float = Field(0.0, ge=0, description="reached at the last optimiser step")
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup_updates: int = Field(0, ge=0, description="over which the schedule's rate is scaled from near 0 to 1")
    max_grad_norm: float = Field(0.5, gt=0, description="for the actor and for the critic, each on its own")

    discount: float = Field(0.99, ge=0, le=1)
    gae_lambda: float = Field(0.95, ge=0, le=1)
    clip: float = Field(0.2, gt=0, description="how far a probability ratio may move from 1")
    value_clip: float | None = Field(None, gt=0, description="how far a value may move from the old value")
    entropy_coefficient: float = Field(0.02, ge=0)
    entropy_control: EntropyControl | None = Field(None, description="moves the coefficient; none: it stays")
    value_coefficient: float = Field(0.5, gt=0)

    shared_torso: bool = False
    hidden: tuple[int, ...] = Field((64, 64), min_length=1)
    normalise_observations: bool = True
    window_decay: float = Field(
        1.0,
        ge=0,
        description="inputs of the bar k bars ago count (1 + k)^-window_decay; 0: nothing is assumed",
    )
    window_evidence: bool | None = Field(
        None,
        description="each bar of the window counts what it tells of known entries besides, before anything is learned; "
        "none: where window_decay is 0, as nothing else says then which bar matters",
    )
    hold_bias: float = Field(2.0, description="added to HOLD's first logit: above 0, entries start rare")

    known_entries: bool = Field(
        True, description="learn entries from what both would have earned at every bar, not from those that were made"
    )
    credit_decay: float = Field(
        1.0, ge=0, description="of known entries: the k-th bar of a trade counts k^-credit_decay; 0: the whole trade"
    )

    stored_observations: bool = Field(
        False, description="keep what was seen; else it is rebuilt for every minibatch, in a tenth of the memory"
    )
    devices: int = Field(1, gt=0, description="over which the environments are split, of all hosts together")
    max_skipped: int = Field(8, ge=0, description="non-finite optimiser steps in a row before training stops")
    updates_per_sync: int = Field(4, gt=0, description="updates between two looks at the metrics")

    @model_validator(mode="after")
    def _whole(self) -> "PPOConfig":
        if self.num_envs % (self.minibatches * self.devices):
            parts = f"{self.minibatches} minibatches on {self.devices} devices"
            raise ValueError(f"{self.num_envs} environments do not divide into {parts}")
        if self.total_steps < self.batch_size:
            raise ValueError(f"total_steps {self.total_steps} is less than one update of {self.batch_size}")
        if self.window_evidence and not self.known_entries:
            raise ValueError("window_evidence reads the table of known entries, and known_entries is off")
        if any(width <= 0 for width in self.hidden):
            raise ValueError(f"hidden sizes must be positive, not {list(self.hidden)}")
        return self

    @property
    def asks_the_window(self) -> bool:
        """Whether bars of the window are weighed by what they tell of known entries."""
        if self.window_evidence is None:
            return self.window_decay == 0 and self.known_entries
        return self.window_evidence

    @property
    def batch_size(self) -> int:
        """Transitions per update."""
        return self.num_envs * self.rollout_length

    @property
    def num_updates(self) -> int:
        """Whole updates in the run."""
        return self.total_steps // self.batch_size

    @property
    def steps_per_update(self) -> int:
        """Optimiser steps in one update."""
        return self.epochs * self.minibatches

    @property
    def optimiser_steps(self) -> int:
        """Optimiser steps in the run, which is what the learning-rate schedule counts."""
        return self.num_updates * self.steps_per_update
