"""A fault of the world is one line on stderr and an exit code; a result is a table or one JSON object."""

import json

import pytest

from trigate.command_line import broken, exit_unless_passed, print_result, run_command
from trigate.errors import ConfigError, DataError, ExitCode, ResourceError


@pytest.mark.parametrize(
    ("error", "code"), [(ConfigError("x"), 2), (DataError("x"), 3), (ResourceError("x"), 7), (KeyboardInterrupt(), 130)]
)
def test_each_fault_ends_with_its_code(error: BaseException, code: int) -> None:
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run_command(command, "tool")

    assert ended.value.code == code


def test_a_fault_is_one_line_that_names_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise DataError("a.csv:3: close: not a number")

    with pytest.raises(SystemExit):
        run_command(command, "rl-core")

    assert capsys.readouterr() == ("", "rl-core: a.csv:3: close: not a number\n")


def test_our_own_mistakes_are_not_hidden() -> None:
    def command() -> None:
        raise AssertionError("ours")

    with pytest.raises(AssertionError, match="ours"):
        run_command(command, "tool")


def test_exit_codes_are_those_that_scripts_know() -> None:
    assert [int(code) for code in ExitCode] == [1, 2, 3, 4, 5, 6, 7, 100, 130, 141, 143]


def test_a_result_is_a_table_or_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    told: dict[str, object] = {"trades": 12, "mean_r": 0.123456, "low": None, "in_sample": True, "net": -21607.4}
    print_result({**told, "notes": [], "warnings": ["late", "thin; see the page"]})
    print_result({"trades": 12}, as_json=True)

    table, _, last = capsys.readouterr().out.rstrip("\n").rpartition("\n")
    rows = [line.split(maxsplit=1) for line in table.splitlines()]
    assert rows[:4] == [["trades", "12"], ["mean_r", "0.1235"], ["low", "-"], ["in_sample", "yes"]]
    assert rows[4] == ["net", "-21,607"]
    assert rows[5:] == [["notes", "-"], ["warnings", "late"], ["warnings", "thin; see the page"]]
    assert json.loads(last) == {"trades": 12}


def test_strict_ends_with_4_unless_the_verdict_is_pass() -> None:
    exit_unless_passed("PASS", strict=True)
    exit_unless_passed("FAIL", strict=False)

    for word in ("NOT PROVEN", "FAIL", "IN SAMPLE"):
        with pytest.raises(SystemExit) as ended:
            exit_unless_passed(word, strict=True)
        assert ended.value.code == 4


LINE = "because  12 sessions with trades, fewer than 60; 92 trades, fewer than 100"


def test_a_long_line_is_broken_between_words_under_its_text() -> None:
    shown = broken(LINE, 40, 9).splitlines()

    assert shown == [
        "because  12 sessions with trades, fewer",
        " " * 9 + "than 60; 92 trades, fewer than",
        " " * 9 + "100",
    ]
    assert all(len(line) <= 40 for line in shown)


@pytest.mark.parametrize(("columns", "hang"), [(None, 9), (80, 9), (28, 9)])
def test_what_is_no_terminal_fits_or_leaves_no_room_is_left_as_it_is(columns: int | None, hang: int) -> None:
    assert broken(LINE, columns, hang) == LINE


def test_what_has_no_space_is_cut_where_the_terminal_ends() -> None:
    """A digest of 64 letters."""
    assert broken("digest  " + "0" * 64, 40, 8).splitlines() == ["digest  " + "0" * 32, " " * 8 + "0" * 32]


def test_a_result_for_a_pipe_keeps_each_row_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_result({"because": "x " * 200})

    assert capsys.readouterr().out.count("\n") == 1
