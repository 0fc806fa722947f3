"""Counted operations of a program: of a text by hand, and of a real one."""

import jax
import jax.numpy as jnp
import pytest

from bench.gpu_program import compiled_for_a_gpu, compiles_for_a_gpu
from bench.operations import Loop, operations_of

TEXT = """\
HloModule jit_f, is_scheduled=true

%small (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  ROOT %n = f32[4]{0} negate(%p)
}

%large (p.1: f32[4]) -> f32[4] {
  %p.1 = f32[4]{0} parameter(0)
  %a = f32[4]{0} negate(%p.1)
  ROOT %b = f32[4]{0} dot(%a, %p.1), lhs_contracting_dims={0}
}

%body (t: (s32[], f32[4])) -> (s32[], f32[4]) {
  %t = (s32[], f32[4]{0}) parameter(0)
  %g = f32[4]{0} get-tuple-element(%t), index=1
  %c = f32[4]{0} conditional(%g, %g, %g), branch_computations={%small, %large}
  %f = f32[4]{0} fusion(%c), kind=kLoop, calls=%small
  ROOT %r = (s32[], f32[4]{0}) tuple(%g, %f)
}

%test (t.1: (s32[], f32[4])) -> pred[] {
  %t.1 = (s32[], f32[4]{0}) parameter(0)
  ROOT %less = pred[] compare(%t.1, %t.1), direction=LT
}

ENTRY %main (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  %begin = (s32[], f32[4]{0}) tuple(%x, %x)
  %w = (s32[], f32[4]{0}) while(%begin), condition=%test, body=%body, backend_config={"known_trip_count":{"n":"10"}}
  %u = f32[4]{0} call(%x), to_apply=%large
  ROOT %z = f32[4]{0} copy(%u)
}
"""


def test_a_loop_counts_its_turns_and_a_condition_its_dearest_branch() -> None:
    """A turn: 2 of the larger branch, a fusion, a comparison. Then a call of 2 and a copy."""
    found = operations_of(TEXT)

    assert found == (10 * (2 + 1 + 1) + 2 + 1, (Loop(10, 4),), 10)


def test_a_text_without_a_program_is_refused() -> None:
    with pytest.raises(ValueError, match="ENTRY"):
        operations_of("HloModule nothing")


def test_a_real_loop_is_found_with_its_turns() -> None:
    found = operations_of(jax.jit(_looped).lower(jnp.ones((8, 8))).compile().as_text())

    assert [loop.turns for loop in found.loops] == [12]
    assert found.total >= 12 * found.loops[0].a_turn and found.loops[0].a_turn >= 2


def _looped(x: jax.Array) -> jax.Array:
    return jax.lax.fori_loop(0, 12, lambda _, y: jnp.cos(y @ x), x)


@pytest.mark.skipif(compiles_for_a_gpu(), reason="the plugin is installed")
def test_without_the_plugin_nothing_is_counted_for_a_gpu() -> None:
    with pytest.raises(NotImplementedError):
        compiled_for_a_gpu(jax.jit(_looped), jnp.ones((8, 8)))


@pytest.mark.skipif(not compiles_for_a_gpu(), reason="needs jax-cuda13-plugin and jax-cuda13-pjrt, and no GPU")
def test_a_loop_is_compiled_for_a_gpu_without_one() -> None:
    """A turn: one matrix product, one fusion of the cosine, the counter and its comparison, at most two more."""
    found = operations_of(compiled_for_a_gpu(jax.jit(_looped), jnp.ones((64, 64))).as_text())

    assert [loop.turns for loop in found.loops] == [12]
    assert 3 <= found.loops[0].a_turn <= 6
