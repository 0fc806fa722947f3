"""For all tests."""

import gc

# A worker comes to hold millions of objects of JAX, and each look for garbage visits them: 8 % of the time of the
# tests of `rl_core.ppo` and `rl_core.envs`.
gc.set_threshold(200_000, 20, 100)
