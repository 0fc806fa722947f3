"""What `--help` shows of every command: what a newcomer needs stands in the first box, and no word is lost."""

from collections.abc import Iterator
from typing import Any

import pytest
from rich.text import Text

from tests.test_papers import COMMANDS

MOST_IN_FIRST_BOX = 10
"""Options; `--help` itself is one more."""


def commands_of(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Every command below ``command`` that does something, with the words that call it."""
    if not hasattr(command, "commands"):
        yield name, command
    for word, below in getattr(command, "commands", {}).items():
        yield from commands_of(f"{name} {word}", below)


ALL = dict(each for program, command in COMMANDS.items() for each in commands_of(program, command))


def first_box(command: Any) -> list[str]:
    """The options that stand in no box of their own."""
    options = [each for each in command.params if each.param_type_name == "option"]
    return [each.opts[0] for each in options if each.rich_help_panel is None]


@pytest.mark.parametrize("name", ALL)
def test_the_first_box_of_a_help_is_short(name: str) -> None:
    shown = first_box(ALL[name])

    assert len(shown) <= MOST_IN_FIRST_BOX, f"{name}: {len(shown)} options in its first box: {', '.join(shown)}"


def test_what_matters_most_to_a_run_stands_in_its_first_box() -> None:
    first = ["--mode", "--bars", "--checkpoint", "--gate", "--config", "--set", "--json"]

    assert first_box(ALL["orchestrator run"]) == first_box(ALL["orchestrator doctor"]) == first


@pytest.mark.parametrize("name", ALL)
def test_no_word_of_a_help_is_taken_for_a_mark(name: str) -> None:
    """Rich leaves out what stands in square brackets, such as the name of a table."""
    command = ALL[name]
    texts = [command.help or "", *(getattr(each, "help", None) or "" for each in command.params)]

    assert [text for text in texts if Text.from_markup(text).plain != text] == []
