"""Model folders: what is refused, and that a folder is made once and whole."""

import json
import multiprocessing
from pathlib import Path

import pytest

from llm_gate.errors import RequestError
from llm_gate.serving.model_folders import check_model, longest_text, model_folder, model_id, tiny_model


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"config\.json"):
        model_folder(str(tmp_path))


@pytest.mark.parametrize("config", ["", "[]", "{", '{"auto_map": {"AutoModel": "code.Model"}}'])
def test_a_config_that_is_damaged_or_brings_code_is_refused(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)

    with pytest.raises(RequestError):
        check_model(tmp_path)


def test_the_tiny_model_has_the_letters_as_single_tokens(tiny_folder: Path) -> None:
    vocabulary = json.loads((tiny_folder / "tokenizer.json").read_text())["model"]["vocab"]

    assert {"A", "B", "C"} <= set(vocabulary)
    check_model(tiny_folder)
    assert longest_text(tiny_folder) == 8192


def test_a_model_is_made_once(tiny_folder: Path) -> None:
    before = (tiny_folder / "config.json").stat().st_mtime_ns

    assert tiny_model(tiny_folder) == tiny_folder
    assert (tiny_folder / "config.json").stat().st_mtime_ns == before


def test_two_makers_at_a_time_leave_one_whole_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    makers = [context.Process(target=tiny_model, args=(tmp_path / "tiny",)) for _ in range(2)]

    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join(120)

    assert [maker.exitcode for maker in makers] == [0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tiny.lock", "tiny"]


def test_the_id_follows_every_byte(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    before = model_id(tmp_path)
    (tmp_path / "config.json").write_text("{} ")

    assert before.startswith(f"{tmp_path.name}@")
    assert model_id(tmp_path) != before
