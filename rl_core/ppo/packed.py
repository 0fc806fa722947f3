"""A tree of arrays as one matrix of words, so that an accelerator keeps, chooses and stores it in one operation each.

What a program carries from bar to bar and what it keeps of each costs a start for every array, however small.
"""

from typing import Any

import jax
import jax.numpy as jnp


def packed(tree: Any) -> jax.Array:
    """Leaves [B, ...] as words [W, B] int32, bit for bit: every word of all environments lies in one row."""
    rows = [_words(leaf).reshape(leaf.shape[0], -1).T for leaf in jax.tree.leaves(tree)]
    return jnp.concatenate(rows)


def unpacked(words: jax.Array, like: Any) -> Any:
    """The tree that `packed` made ``words`` [W, B] of; ``like`` has its structure, and leaves [B, ...] of its types."""
    leaves, structure = jax.tree.flatten(like)
    found, first = [], 0
    for leaf in leaves:
        shape = jax.eval_shape(_words, leaf).shape
        count = 1
        for size in shape[1:]:
            count *= size
        found.append(_leaf(words[first : first + count].T.reshape(shape), leaf.dtype))
        first += count
    assert first == words.shape[0], (first, words.shape)
    return jax.tree.unflatten(structure, found)


def _words(leaf: jax.Array) -> jax.Array:
    """[B, ...] as int32 [B, ...], or [B, ..., 2] of what has 64 bits, or the words of PRNG keys."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if leaf.dtype.itemsize < 4:
        wide = jnp.float32 if jnp.issubdtype(leaf.dtype, jnp.floating) else jnp.int32
        leaf = leaf.astype(wide)
    words: jax.Array = jax.lax.bitcast_convert_type(leaf, jnp.int32)
    return words


def _leaf(words: jax.Array, dtype: Any) -> jax.Array:
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        key: jax.Array = jax.random.wrap_key_data(
            jax.lax.bitcast_convert_type(words, jnp.uint32), impl=str(dtype._impl.name)
        )
        return key
    if dtype.itemsize >= 4:
        leaf: jax.Array = jax.lax.bitcast_convert_type(words, dtype)
        return leaf
    wide = jax.lax.bitcast_convert_type(words, jnp.float32) if jnp.issubdtype(dtype, jnp.floating) else words
    return wide.astype(dtype)
