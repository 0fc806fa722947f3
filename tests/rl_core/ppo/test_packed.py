"""Trees as words: bit for bit, of every type that an environment may keep."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_core.ppo.packed import packed, unpacked


class _State(NamedTuple):
    """Leaves [3, ...]."""

    bar: jax.Array
    weights: jax.Array
    open: jax.Array
    side: jax.Array
    half: jax.Array
    seed: jax.Array
    absent: None = None


STATE = _State(
    bar=jnp.array([-(2**31), 0, 2**31 - 1], jnp.int32),
    weights=jnp.array([[0.1, -0.0], [jnp.inf, 1e-42], [3.0, -1.0]], jnp.float32),
    open=jnp.array([True, False, True]),
    side=jnp.array([-1, 0, 1], jnp.int8),
    half=jnp.array([0.1, -2.0, 65504.0], jnp.float16),
    seed=jax.random.split(jax.random.key(7), 3),
)


def test_a_tree_comes_back_bit_for_bit() -> None:
    """Also -0.0 and the least floats, which a detour over other numbers would lose."""
    back = unpacked(packed(STATE), STATE)

    assert jax.tree.structure(back) == jax.tree.structure(STATE)
    for name, before, after in zip(STATE._fields, STATE, back, strict=True):
        if before is None:
            assert after is None
            continue
        if name == "seed":
            before, after = jax.random.key_data(before), jax.random.key_data(after)
        assert after.dtype == before.dtype, name
        assert np.asarray(after).tobytes() == np.asarray(before).tobytes(), name


def test_a_word_of_all_environments_lies_in_one_row() -> None:
    """Six words of leaves without further axes and four of the others."""
    words = packed(STATE)

    assert words.shape == (1 + 2 + 1 + 1 + 1 + 2, 3) and words.dtype == jnp.int32
    assert words[0].tolist() == STATE.bar.tolist()
    assert words[3].tolist() == [1, 0, 1]


def test_words_of_another_tree_are_refused() -> None:
    with pytest.raises(AssertionError):
        unpacked(packed(STATE), STATE._replace(bar=None))
