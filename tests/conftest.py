"""For all tests."""

import gc
from collections.abc import Iterator

import jax
import pytest

# A worker comes to hold millions of objects of JAX, and each look for garbage visits them.
gc.set_threshold(200_000, 20, 100)

# Most of the learner's tests' time went into compiling programs that then run for a moment.
# The commands, which tests start as processes of their own, compile as they do for users.
jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def optimised() -> Iterator[None]:
    """For tests that compute for longer than they compile, or compare the bits of two programs."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)
