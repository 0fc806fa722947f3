"""Prompt files: what is refused, what is rendered, and that the one in use was never edited."""

from collections.abc import Callable
from pathlib import Path

import pytest

from llm_gate.contract import EntryProposal, Note
from llm_gate.engines.base import Turn
from llm_gate.errors import PromptError
from llm_gate.prompts.outside_text import NOTICE
from llm_gate.prompts.prompt_files import DEFAULT_PROMPT, find_prompt, load_prompt, prompt_paths, prompts_folder

FRONT = """+++
purpose = "test"
schema = "entry_proposal.v1"
fields = ["trend_60", "streak"]

[letters]
A = "approve"
B = "shrink"
C = "veto"
+++
"""
NOTED = FRONT.replace('"streak"', '"notes"')
TURNS = "@system\nJudge.\n@user\nfixed\n@assistant\nA\n@user\n{{ trend_60 }}, {{ streak }}\n"


def written(folder: Path, text: str, name: str = "t.v1.md") -> Path:
    """``text`` in a file of that name."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_prompt_is_filled_with_words_and_nothing_else(
    tmp_path: Path, make_proposal: Callable[..., EntryProposal]
) -> None:
    prompt = load_prompt(written(tmp_path, FRONT + TURNS))

    chat = prompt.render(make_proposal(side="sell", losing_streak=2))

    assert chat == (Turn("system", "Judge."), Turn("user", "fixed"), Turn("assistant", "A"), Turn("user", "AGAINST, 2"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (FRONT + "@user\n{{ trend_60 }}", "never uses: streak"),
        (FRONT + TURNS + "{{ room }}", "does not declare: room"),
        (FRONT.replace('"streak"', '"price"') + "@user\n{{ trend_60 }}{{ price }}", "unknown fields: price"),
        (FRONT.replace('"streak"', '"streak", "streak"') + TURNS, "twice"),
        (FRONT + "{{ trend_60 }} {{ streak }}", "must begin with"),
        (FRONT + "stray\n" + TURNS, "must begin with"),
        (FRONT + TURNS + "@assistant\nB\n", "last turn"),
        (FRONT + "@user\n{{ streak }}\n" + TURNS, "only the last turn"),
        (FRONT + TURNS.replace("@assistant\nA", "@assistant\nApprove"), "none of the letters"),
        (FRONT + "@user\n{{ trend_60 }} {{ streak", "template"),
        (FRONT + "@user\n{{ trend_60.__class__.mro() }} {{ streak }}", "template"),
        (FRONT + "@user\n{{ trend_60 }} {{ streak }} {% include 'other' %}", "template"),
        (FRONT + "@user\n{{ trend_60 }} {{ streak }} {{ 1 / 0 }}", "no expressions"),
        (FRONT + "@user\n{{ trend_60 }} {{ streak }} {{ 'x' * 9000000000 }}", "no expressions"),
        (FRONT + "@user\n{{ trend_60 }} {{ streak.encode('none') }}", "no expressions"),
        (FRONT + "@user\n{{ trend_60 }} {{ streak | truncate(-5) }}", "no expressions"),
        (FRONT + "@user\n{{ trend_60 }} {{ 'hot' if streak == '9' else 'cold' }}", "no expressions"),
        (FRONT + "@user\n{{ trend_60 }} {{ streak }} {{ self }}", "does not declare: self"),
        (FRONT + "@user\n{{ trend_60 }} {{ streak }} {{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "template"),
        (FRONT + "@user\n{{ trend_60 }} {{ streak }} {{ " + "9" * 5000 + " }}", "template"),
        (FRONT.replace('C = "veto"', 'C = "approve"') + TURNS, "one letter each"),
        (FRONT.replace("C =", "CC =") + TURNS, "single capitals"),
        (FRONT.replace("purpose", "porpoise") + TURNS, "purpose"),
        (FRONT.replace("entry_proposal.v1", "exit_proposal.v1") + TURNS, "schema"),
        (FRONT.replace("purpose =", "purpose") + TURNS, "not TOML"),
        (FRONT.replace('"test"', "9" * 5000) + TURNS, "not TOML"),
        (FRONT.replace('"test"', "[" * 9000) + TURNS, "not TOML"),
        (TURNS, "front matter"),
        (FRONT.removesuffix("+++\n"), "front matter"),
        (FRONT + TURNS + "x" * 70_000, "larger than"),
        (FRONT.replace("\n[letters]", 'modes = ["prose"]\n[letters]') + TURNS, "modes"),
        (FRONT.replace("\n[letters]", "modes = []\n[letters]") + TURNS, "modes"),
        (NOTED + f"@system\n{NOTICE}\n@user\n{{{{ trend_60 }}}} {{{{ notes }}}}\n", "line of its own"),
        (NOTED + f"@system\n{NOTICE}\n@user\n{{{{ trend_60 }}}}\n{{{{ notes }}}}\n{{{{ notes }}}}\n", "stand once"),
        (NOTED + f"@system\n{NOTICE}\n@user\n{{{{ trend_60 }}}}\n{{{{ notes|lower }}}}\n", "no expressions"),
        (NOTED + "@system\nJudge.\n@user\n{{ trend_60 }}\n{{ notes }}\n", "must say: Text between"),
        (NOTED + f"@user\n{NOTICE} {{{{ trend_60 }}}}\n{{{{ notes }}}}\n", "must say: Text between"),
    ],
)
def test_a_faulty_file_is_refused_by_name(tmp_path: Path, text: str, fault: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(PromptError, match=fault) as caught:
        load_prompt(path)

    assert str(path) in str(caught.value)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.v1.md"
    path.write_bytes(FRONT.encode() + b"\xff")

    with pytest.raises(PromptError, match="UTF-8"):
        load_prompt(path)


@pytest.mark.parametrize("name", ["../t.v1", "t", "T.v1", "t.v1.md", "", "t.v1\n", "/etc/passwd", "%2e%2e.v1"])
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(PromptError, match="not a prompt name"):
        find_prompt(name, tmp_path)


def test_an_unknown_name_is_told_the_nearest_or_all_that_there_are(tmp_path: Path) -> None:
    written(tmp_path, FRONT + TURNS)

    with pytest.raises(PromptError, match=r"no prompt 'u\.v1'; did you mean 't\.v1'\?"):
        find_prompt("u.v1", tmp_path)
    with pytest.raises(PromptError, match=r"did you mean 'entry_review\.v1'"):
        find_prompt("entry_revew.v1", tmp_path)
    with pytest.raises(PromptError, match=r"there are: entry_examples\.v1, .*, t\.v1"):
        find_prompt("zzzzzzzz.v9", tmp_path)


def test_an_unknown_name_is_told_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.chdir(tmp_path)

    with pytest.raises(PromptError, match=rf"\(looked in {own}, {tmp_path / 'prompts'} and what ships\)$"):
        find_prompt("zzzzzzzz.v9", own)
    with pytest.raises(PromptError, match=rf"\(looked in {tmp_path / 'prompts'} and what ships\)$"):
        load_prompt(Path("zzzzzzzz.v9"))


def test_own_prompts_come_before_the_current_folders_and_those_before_what_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = load_prompt(prompts_folder() / "entry_facts.v1.md").digest
    own, here = tmp_path / "own", tmp_path / "prompts"
    monkeypatch.chdir(tmp_path)
    assert find_prompt("entry_facts.v1").digest == load_prompt(Path("entry_facts.v1")).digest == shipped

    for folder, words in ((here, "Judge here."), (own, "Judge it.")):
        folder.mkdir()
        (folder / "entry_facts.v1.md").write_text(FRONT + TURNS.replace("Judge.", words), encoding="utf-8")

    of_here = load_prompt(here / "entry_facts.v1.md").digest
    assert find_prompt("entry_facts.v1").digest == load_prompt(Path("prompts/entry_facts.v1.md")).digest == of_here
    assert find_prompt("entry_facts.v1", own).digest == load_prompt(own / "entry_facts.v1.md").digest
    assert len({shipped, of_here, find_prompt("entry_facts.v1", own).digest}) == 3
    assert find_prompt("entry_review.v1", own).name == "entry_review.v1"
    with pytest.raises(PromptError, match="is no folder"):
        find_prompt("entry_facts.v1", tmp_path / "none")


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    one = load_prompt(written(tmp_path, FRONT + TURNS))
    other = load_prompt(written(tmp_path, FRONT + TURNS.replace("Judge.", "Judge!")))

    assert one.digest != other.digest
    assert len(one.digest) == 64


def test_all_prompts_of_the_project_pass() -> None:
    prompts = [load_prompt(path) for path in prompt_paths(prompts_folder())]

    assert DEFAULT_PROMPT in [prompt.name for prompt in prompts]


WORKED_EXAMPLES = [
    ("sell", -1800, 62, 150, 5600, 1),
    ("sell", 700, 35, 260, 9000, 0),
    ("buy", -2500, 97, 160, 4800, 2),
    ("buy", 2100, 41, 240, 8200, 0),
    ("buy", 1500, 58, 30, 7100, 1),
    ("sell", -1300, 94, 220, 6000, 4),
    ("buy", 200, 22, 120, 10500, 0),
    ("sell", 900, 96, 210, 6400, 0),
    ("buy", 1200, 47, 190, 1300, 0),
]
"""Side, 60-minute trend, volatility, minutes, room and streak of the nine examples in entry_review.v1."""


def test_the_worked_examples_are_in_the_words_of_the_facts(make_proposal: Callable[..., EntryProposal]) -> None:
    """An example in other words would teach a model to read cases that never come."""
    prompt = find_prompt("entry_review.v1")
    shown = [turn.text for turn in prompt.examples if turn.role == "user"]

    rendered = [
        prompt.render(
            make_proposal(
                side=side,
                trend_60_atr_milli=trend,
                volatility_percentile=volatility,
                minutes_to_flat=minutes,
                room_to_floor_risks_milli=room,
                losing_streak=streak,
            )
        )[-1].text
        for side, trend, volatility, minutes, room, streak in WORKED_EXAMPLES
    ]

    assert shown == rendered


def test_the_worked_examples_are_balanced() -> None:
    answers = [turn.text for turn in find_prompt("entry_review.v1").examples if turn.role == "assistant"]

    assert sorted(answers) == ["A"] * 3 + ["B"] * 3 + ["C"] * 3


DIGESTS = {
    "entry_examples.v1": "12e5ceb66e72dcb53bbb134e57ca1fa640686301aa58329e4212b300d93d5b8d",
    "entry_facts.v1": "570b780e5a281c11d3a63f746d4e90e5d97c2e00d9ddde3e58a84efaeea46dc2",
    "entry_notes.v1": "c4f294ece4ab028a4ff5e44e1d444258d7dffb005a44b82d7f9d0003cdab87f7",
    "entry_review.v1": "20c031a837c30584d2a4cdc100e733a06d332ebb2f2ab07ecefc524f6ab4e781",
    "entry_taught.v1": "a6cd372620aa4ac8fb25afd84d556943fc7d3668c73b795e804810c6658988e1",
    "entry_rules.v1": "5b4dda56cd48ae5a6b17727457901729ac69b2ef7aea2855698705b0cb1ca5ed",
}
"""They stand in journals and reports: a prompt is never edited, the next version is a new file and a new line here."""


def test_no_prompt_was_ever_edited() -> None:
    assert {path.stem: load_prompt(path).digest for path in prompt_paths(prompts_folder())} == DIGESTS


def test_every_prompt_fits_both_ways_to_decode_but_the_one_whose_letters_are_taught() -> None:
    """An engine says in the system turn how to answer in JSON, and puts an object for each example's letter."""
    for path in prompt_paths(prompts_folder()):
        prompt = load_prompt(path)

        assert prompt.front.modes == (["choice"] if prompt.name == "entry_taught.v1" else ["choice", "json"])
        assert prompt.examples[0].role == "system"
        assert prompt.front.letters == {"A": "approve", "B": "shrink", "C": "veto"}


EXAMPLES = [
    ("A", "buy", (900, 2800, 3900), (45, 12, 60), 5400, 3100, (210, 8400, 1)),
    ("C", "sell", (-200, -2600, -4100), (30, 10, 6), 300, -11_200, (240, 9000, 0)),
    ("B", "buy", (1300, 3100, 4500), (55, 14, 58), 6100, 4000, (30, 7700, 0)),
    ("A", "buy", (1700, 3400, 5000), (68, 18, 88), 200, 5100, (150, 6500, 2)),
    ("C", "sell", (1100, 2900, 4800), (94, 17, 60), 7500, 3200, (180, 8000, 1)),
    ("B", "sell", (-1200, -4100, -7000), (62, 13, 55), 5700, -11_400, (130, 10200, 0)),
]
"""Answer, side, trends, percents (volatility, wild state, volume), the extreme ahead, VWAP, (minutes, room, streak)."""


def test_the_six_examples_are_in_the_words_of_the_facts(make_proposal: Callable[..., EntryProposal]) -> None:
    prompt = find_prompt("entry_examples.v1")

    rendered: list[Turn] = []
    for answer, side, trends, percents, ahead, vwap, account in EXAMPLES:
        named = zip(("trend_15_atr_milli", "trend_60_atr_milli", "trend_240_atr_milli"), trends, strict=True)
        state = zip(("volatility_percentile", "wild_percent", "volume_percentile"), percents, strict=True)
        rest = zip(("minutes_to_flat", "room_to_floor_risks_milli", "losing_streak"), account, strict=True)
        extremes = {"to_session_high_atr_milli": ahead, "to_session_low_atr_milli": ahead, "vwap_atr_milli": vwap}
        proposal = make_proposal(side=side, **dict(named), **dict(state), **dict(rest), **extremes)
        rendered += [prompt.render(proposal)[-1], Turn("assistant", answer)]

    assert list(prompt.examples[1:]) == rendered


def test_only_a_prompt_that_declares_notes_shows_them(make_proposal: Callable[..., EntryProposal]) -> None:
    plain = make_proposal()
    noted = plain.model_copy(update={"notes": (Note(source="desk", text="two-way interest"),)})

    shows = {path.stem: load_prompt(path).render(noted) != load_prompt(path).render(plain) for path in ALL}

    assert [name for name, differs in shows.items() if differs] == ["entry_notes.v1"]


ALL = prompt_paths(prompts_folder())
