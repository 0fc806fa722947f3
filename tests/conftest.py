"""For all tests."""

import gc
from collections.abc import Iterator

import jax
import pytest

# A worker comes to hold millions of objects of JAX, and each look for garbage visits them: 8 % of the time of the
# tests of `rl_core.ppo` and `rl_core.envs`.
gc.set_threshold(200_000, 20, 100)

# Three quarters of those tests' time went into compiling programs that then run for a moment; so it is a third less.
# The commands, which tests start as processes of their own, compile as they do for users.
jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def optimised() -> Iterator[None]:
    """For tests that compute for longer than they compile, or compare the bits of two programs."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)
