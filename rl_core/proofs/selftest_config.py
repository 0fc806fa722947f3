"""The settings of `rl-core selftest`: which worlds, which seeds, which learner, and what must be reached."""

from pydantic import BaseModel, ConfigDict, Field

from rl_core.ppo.config import PPOConfig
from rl_core.trading.setup import TradingConfig


class SelftestConfig(BaseModel):
    """One selftest; the learner's own seed is replaced by each of ``seeds``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    strengths: tuple[float, ...] = Field((0.6, 0.9, 1.2), min_length=1, description="drift after a signal, in ATR")
    seeds: tuple[int, ...] = Field((0, 1, 2, 3, 4), min_length=1, description="learners, trained side by side")
    world_seed: int = Field(31, ge=0, description="of the first world to train on; each world takes the next number")
    train_sessions: int = Field(1000, ge=10, description="few sessions are learned by heart")
    test_sessions: int = Field(300, ge=10)
    curve_points: int = Field(5, ge=1, description="looks at the learners on the way")
    reverting: bool = Field(True, description="whether to judge management where it pays")
    least_share: float = Field(0.8, gt=0, description="of the optimal R per session, after phase 1")
    least_managed_share: float = Field(0.9, gt=0, description="of the optimal R with management, after phase 2")
    most_lost: float = Field(0.05, ge=0, description="share of the optimum that phase 2 may lose where nothing pays")
    random_chance: float = Field(0.02, gt=0, le=1, description="of an entry at a close, for the random control")
    phase1: PPOConfig = PPOConfig()
    phase2: PPOConfig = PPOConfig()
    trading: TradingConfig = TradingConfig()
