"""What the wall clock saw: kept line by line, and never in the way of a run."""

import errno
from pathlib import Path

import pytest
import structlog

from orchestrator.run.telemetry import Telemetry, read_telemetry

FULL = Path("/dev/full")


def test_events_come_back_in_order_with_their_time(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.jsonl"
    with Telemetry(path) as telemetry:
        telemetry.note("reviewed", proposal="ab", latency_s=0.25)
    with Telemetry(path) as telemetry:
        telemetry.note("gate_missed", proposal="cd")

    first, second = read_telemetry(path)

    assert (first["event"], first["latency_s"], second["event"]) == ("reviewed", 0.25, "gate_missed")
    assert isinstance(first["ts_ns"], int) and isinstance(second["ts_ns"], int) and first["ts_ns"] <= second["ts_ns"]


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.jsonl"
    path.write_text('{"event": "a"}\n{"event": "b"}\n{"event": "c')

    assert [event["event"] for event in read_telemetry(path)] == ["a", "b"]
    assert read_telemetry(tmp_path / "missing.jsonl") == []


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_once_and_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()  # a command that ran in this process may have sent the log elsewhere
    with Telemetry(FULL) as telemetry:
        telemetry.note("a")
        telemetry.note("b")

    assert capsys.readouterr().out.count("telemetry_failed") == 1
    with pytest.raises(OSError) as refused, FULL.open("w") as stream:
        stream.write("x")
    assert refused.value.errno == errno.ENOSPC
