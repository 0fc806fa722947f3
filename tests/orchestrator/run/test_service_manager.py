"""What systemd hears of a run, and the unit that would start one."""

import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from orchestrator.run.service_manager import ServiceManager

UNIT = Path(__file__).parents[3] / "deploy/trigate-paper@.service"


class _Ear:
    """A notify socket, and a clock that is set by hand."""

    def __init__(self, name: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.socket.setblocking(False)
        self.now_s = 0.0
        self.manager = ServiceManager({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "8000000"}, lambda: self.now_s)

    def heard(self) -> list[str]:
        words = []
        while True:
            try:
                words += self.socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                return words


@pytest.mark.parametrize("abstract", [False, True])
def test_ready_watchdog_status_and_stopping_are_heard_in_order(tmp_path: Path, abstract: bool) -> None:
    ear = _Ear(f"@{tmp_path}" if abstract else str(tmp_path / "n"))
    with ear.socket:
        look, passed = ear.manager.looking(lambda: False), ear.manager.counting(lambda bars: None)
        ear.manager.ready()
        for second in range(1, 9):
            ear.now_s = float(second)
            passed(second)
            assert look() is False
        ear.manager.stopping()

        words = ear.heard()
    assert words[:2] == ["READY=1", "STATUS=playing after 0 bars"]
    assert words[2:-2] == ["WATCHDOG=1"] * 2 + ["STATUS=playing, 5 bars done"] + ["WATCHDOG=1"] * 2
    assert words[-2:] == ["STOPPING=1", "STATUS=stopping after 8 bars"]


def test_a_loop_that_hangs_or_is_not_ready_sends_no_watchdog(tmp_path: Path) -> None:
    ear = _Ear(str(tmp_path / "n"))
    with ear.socket:
        look = ear.manager.looking(lambda: False)
        ear.now_s = 4.0
        look()
        assert ear.heard() == []
        ear.manager.ready()
        ear.now_s = 400.0  # and nobody looks
        assert "WATCHDOG=1" not in ear.heard()


def test_a_run_that_asks_nobody_is_ready_once_it_has_ended(tmp_path: Path) -> None:
    ear = _Ear(str(tmp_path / "n"))
    with ear.socket:
        ear.manager.finished()
        ear.manager.stopping()
        assert ear.heard()[::2] == ["READY=1", "STOPPING=1"]


def test_ready_is_said_once(tmp_path: Path) -> None:
    ear = _Ear(str(tmp_path / "n"))
    with ear.socket:
        ear.manager.ready()
        ear.manager.finished()
        assert ear.heard().count("READY=1") == 1


@pytest.mark.parametrize("period", ["0", "-1", "8s"])
def test_a_watchdog_period_that_is_none_is_told_and_ignored(period: str) -> None:
    with capture_logs() as logs:
        manager = ServiceManager({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": period})
    assert [line["event"] for line in logs] == ["watchdog_ignored"] and repr(period) in logs[0]["cause"]
    manager.looking(lambda: False)()


def test_a_dead_socket_stops_nothing(tmp_path: Path) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    manager.ready()
    manager.stopping()
    assert manager.looking(lambda: True)() is True


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    """Every path of the clone is filled in, so that the program it starts exists."""
    unit = tmp_path / "trigate-paper@x.service"
    program = tmp_path / "clone/.venv/bin/orchestrator"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit.write_text(UNIT.read_text().replace("%h/trigate", str(tmp_path / "clone")))

    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)

    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, [])
