"""How tests compile what runs for a moment: few optimisations, and XLA's older generator of code where it has one."""

import functools
import os

import jax

OLDER_GENERATOR = ("xla_cpu_use_fusion_emitters", False)
"""An option of XLA's compiler for CPUs. The newer generator takes three times as long; jaxlib 0.12 has no other."""


@functools.cache
def has_older_generator() -> bool:
    """Whether this jaxlib knows the option: it refuses one that it does not know."""
    name, value = OLDER_GENERATOR
    try:
        jax.jit(lambda x: x).lower(0.0).compile(compiler_options={name: value})
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" not in str(error):
            raise
        return False
    return True


def xla_flags(*more: str) -> str:
    """The value of XLA_FLAGS for a process that is to compile as the tests do; it would end at an unknown flag."""
    older = [f"--{OLDER_GENERATOR[0]}=false"] if has_older_generator() else []
    return " ".join([*more, *older])


def quick_environment(*more: str) -> dict[str, str]:
    """What to add to the environment of such a process; ``more`` are flags of XLA, beside those that are set."""
    return {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "XLA_FLAGS": xla_flags(os.environ.get("XLA_FLAGS", ""), *more)}
