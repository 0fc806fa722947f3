"""Ports of a model server: one that is asked for, or one that nobody is given by chance meanwhile."""

import socket

import pytest

from llm_gate.serving import processes
from llm_gate.serving.processes import HOST, PORTS, checked_port
from trigate.errors import ResourceError


def test_a_port_that_nobody_named_is_below_those_that_connections_get() -> None:
    chosen = {checked_port(None) for _ in range(5)}

    assert chosen <= set(PORTS) and len(chosen) > 1
    assert max(PORTS) < 32_768, "where Linux begins to give ports to whoever asks for any"


def test_a_port_in_use_is_refused_and_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ResourceError, match=f"port {port} on 127.0.0.1 cannot be used: Address already in use"):
            checked_port(port)
        free = next(each for each in PORTS if processes._fault_of(each) == "")
        monkeypatch.setattr(processes, "PORTS", [port, free])
        monkeypatch.setattr(processes, "PORTS_TRIED", 2)
        assert {checked_port(None) for _ in range(8)} == {free}
