"""Keeps compiled JAX programs between runs, in the user's cache folder."""

import hashlib
import platform
from pathlib import Path

import jax

from trigate.user_cache import user_cache

CPU_FACTS = Path("/proc/cpuinfo")


def use_compile_cache() -> Path | None:
    """Let JAX keep what it compiles; returns the folder, or None where JAX's own settings already decide.

    A program compiled for one processor must not run on another that shares the home folder, so each kind of
    processor has a folder of its own.
    """
    known = jax.config.values
    if known["jax_compilation_cache_dir"] or not known["jax_enable_compilation_cache"]:
        return None
    folder = user_cache() / f"jax-{_processor()}"
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.05,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in settings.items():
        jax.config.update(name, value)  # type: ignore[no-untyped-call]
    return folder


def _processor() -> str:
    """8 hex digits for the machine's kind and instruction sets."""
    lines = CPU_FACTS.read_text().splitlines() if CPU_FACTS.exists() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(f"{platform.machine()} {flags}".encode()).hexdigest()[:8]
