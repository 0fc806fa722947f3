"""The list of lines to break: what it names is there, and an entry that fits no longer is told."""

from pathlib import Path

import pytest

from tests.campaigns.mutants import ROOT, Mutant, mutants, stale

ENTRY = Mutant("a.py", "x = 1", "x = 2", ("test_a.py",))


@pytest.mark.parametrize(("name", "least"), [("mutants", 50), ("planted", 12)])
def test_every_entry_breaks_a_file_and_names_tests_that_are_there(name: str, least: int) -> None:
    every = mutants("", name)

    assert len(every) >= least and len(set(every)) == len(every)
    assert all(mutant.line != mutant.broken for mutant in every)
    assert [name for mutant in every for name in (mutant.file, *mutant.tests) if not is_there(name)] == []
    assert [told for mutant in every if (told := stale(mutant, ROOT)) is not None] == []


def is_there(name: str) -> bool:
    """Whether ``name`` is a file of the repository, or a test that stands in one (``FILE::TEST``)."""
    file, _, test = name.partition("::")
    return (ROOT / file).is_file() and (not test or f"def {test}(" in (ROOT / file).read_text())


def test_a_test_that_is_gone_is_not_there() -> None:
    assert is_there("tests/campaigns/test_mutants.py::test_a_test_that_is_gone_is_not_there")
    assert not is_there("tests/campaigns/test_mutants.py::test_of_" + "nothing")
    assert not is_there("tests/campaigns/no_such_file.py::test_a_test_that_is_gone_is_not_there")


def test_the_line_alone_is_broken_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 10\nif y:\n    x = 1\n")

    assert ENTRY.text(tmp_path) == "x = 10\nif y:\n    x = 2\n"


@pytest.mark.parametrize("text", ["x = 3\n", "x = 1\nx = 1\n"])
def test_a_line_that_is_gone_or_stands_twice_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.py").write_text(text)

    with pytest.raises(ValueError, match=r"a\.py: [02] lines are 'x = 1'"):
        ENTRY.text(tmp_path)


def test_an_outcome_holds_as_long_as_file_and_tests_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "test_a.py").write_text("one\n")
    before = ENTRY.key(tmp_path)

    again = ENTRY.key(tmp_path)
    (tmp_path / "test_a.py").write_text("two\n")

    assert again == before != ENTRY.key(tmp_path)
