"""What a model server needs of the system: told before it is started, or done without."""

import re
from pathlib import Path

import pytest

from llm_gate.errors import RequestError
from llm_gate.serving import server
from tests.optional import skip_module_without

skip_module_without("vllm")


def test_a_library_that_is_missing_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_CPU_LIBRARY", "libnothing.so.9")

    with pytest.raises(RequestError, match=re.escape("needs libnothing.so.9") + ".*install libnuma1"):
        server._is_cpu_build()


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """PyTorch's compiler of operations ends the engine where it finds no C++ compiler."""
    (tmp_path / "g++").write_text("#!/bin/sh\n")
    (tmp_path / "g++").chmod(0o755)
    monkeypatch.delenv("CXX", raising=False)

    monkeypatch.setenv("PATH", str(tmp_path))
    assert "TORCHDYNAMO_DISABLE" not in server._cpu_environment()

    monkeypatch.setenv("PATH", str(tmp_path / "elsewhere"))
    assert server._cpu_environment()["TORCHDYNAMO_DISABLE"] == "1"
