"""The learner's settings: one frozen slice of a run's TOML file."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class PPOConfig(BaseModel):
    """How one phase learns; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_envs: int = Field(256, gt=0)
    rollout_length: int = Field(128, gt=0, description="bars per environment and update")
    total_steps: int = Field(8_388_608, gt=0, description="bars over all environments; rounded down to whole updates")
    epochs: int = Field(4, gt=0, description="passes over a rollout")
    minibatches: int = Field(4, gt=0, description="optimiser steps per pass")
    seed: int = Field(0, ge=0)

    learning_rate: float = Field(3e-4, gt=0)
    final_learning_rate: float = Field(0.0, ge=0, description="reached at the last optimiser step")
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    max_grad_norm: float = Field(0.5, gt=0, description="for the actor and for the critic, each on its own")

    discount: float = Field(0.99, ge=0, le=1)
    gae_lambda: float = Field(0.95, ge=0, le=1)
    clip: float = Field(0.2, gt=0, description="how far a probability ratio may move from 1")
    value_clip: float | None = Field(None, gt=0, description="how far a value may move from the old value")
    entropy_coefficient: float = Field(0.01, ge=0)
    value_coefficient: float = Field(0.5, gt=0)

    shared_torso: bool = True
    hidden: tuple[int, ...] = Field((128, 128), min_length=1)
    normalise_observations: bool = True
    recency: float = Field(1.0, gt=0, le=1, description="how much a bar of the window counts beside the next newer")
    hold_bias: float = Field(0.0, description="added to HOLD's first logit: above 0, entries start rare")

    max_skipped: int = Field(8, ge=0, description="non-finite optimiser steps in a row before training stops")
    updates_per_sync: int = Field(4, gt=0, description="updates between two looks at the metrics")

    @model_validator(mode="after")
    def _whole(self) -> "PPOConfig":
        if self.batch_size % self.minibatches:
            raise ValueError(f"{self.batch_size} transitions do not divide into {self.minibatches} minibatches")
        if self.total_steps < self.batch_size:
            raise ValueError(f"total_steps {self.total_steps} is less than one update of {self.batch_size}")
        if any(width <= 0 for width in self.hidden):
            raise ValueError(f"hidden sizes must be positive, not {list(self.hidden)}")
        return self

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
