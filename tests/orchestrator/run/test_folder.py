"""The same run is found again, anything else is a new one, and a manifest is whole."""

import os
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.journal.journal import Journal, KnownHead
from orchestrator.run.config import RunConfig
from orchestrator.run.folder import RunFolder, RunInputs, RunManifest, new_manifest, open_run
from orchestrator.run.runner import Finished
from orchestrator.run.simulate import mark_finished
from orchestrator.trader.state import TraderState
from trigate.errors import ResourceError

FACTS = {"market": "NQ", "contract": "MNQ", "rule_pack": "p", "rule_pack_as_of": "2026-08-31", "declaration": ""}


def inputs(**changed: Any) -> RunInputs:
    """What a run is made of."""
    made: dict[str, Any] = {
        "config": RunConfig().model_dump(mode="json", exclude={"runs"}),
        "bars_digest": "a",
        "seconds_digest": "b",
        "checkpoint_digest": "c",
        "prompt_digest": "d",
        "model": "e",
        "rule_pack_digest": "f",
        "code_version": "1",
    }
    return RunInputs.model_validate(made | changed)


def manifest(**changed: Any) -> RunManifest:
    """Of a run that starts now."""
    return new_manifest(inputs(**changed), **FACTS)


@pytest.mark.parametrize("field", sorted(RunInputs.model_fields))
def test_every_input_changes_the_run_id(field: str) -> None:
    other = {"name": "other"} if field == "config" else "changed"

    assert inputs(**{field: other}).run_id != inputs().run_id


def test_every_setting_changes_the_run_id_and_nothing_else_does() -> None:
    config = inputs().config
    names = {inputs(config={**config, key: "changed"}).run_id for key in config}
    deep = {**config, "gate": {**config["gate"], "shadow": True}}

    assert len(names | {inputs(config=deep).run_id, inputs().run_id}) == len(config) + 2
    assert inputs(config=dict(reversed(config.items()))).run_id == inputs().run_id
    assert len(inputs().run_id) == 32


def test_a_run_that_has_not_ended_is_continued_and_counted(tmp_path: Path) -> None:
    config = RunConfig(runs=tmp_path / "runs")

    first = open_run(config, manifest())
    first.write_manifest(first.manifest().model_copy(update={"status": "failed", "cause": "a worker"}))
    again = open_run(config, manifest())
    untouched = again.manifest()
    again.mark_started()

    found = again.manifest()
    assert first.path == again.path
    assert (untouched.status, untouched.starts, untouched.cause) == ("failed", 0, "a worker")
    assert (found.status, found.starts, found.cause) == ("running", 1, "")
    assert first.path.stat().st_mode & 0o777 == 0o700
    assert "runs" in (first.path / "config.toml").read_text()


def test_an_ended_run_and_another_run_are_not_continued(tmp_path: Path) -> None:
    config = RunConfig(runs=tmp_path / "runs")
    ended = open_run(config, manifest())
    ended.write_manifest(ended.manifest().model_copy(update={"status": "ended"}))
    (ended.path / "report.html").touch()
    aside = ended.path.rename(ended.path.with_name("20200101T000000Z-" + ended.path.name.partition("-")[2]))

    again, other = open_run(config, manifest()), open_run(config, manifest(bars_digest="z"))

    assert len({aside, again.path, other.path}) == 3
    assert (again.manifest().starts, RunFolder(aside).manifest().status) == (0, "ended")


def test_runs_of_one_id_within_a_second_have_folders_of_their_own(tmp_path: Path) -> None:
    """Each has ended with its report; the newest has the last name."""
    config = RunConfig(runs=tmp_path / "runs")
    folders = []
    for _ in range(3):
        folders.append(open_run(config, manifest()))
        folders[-1].write_manifest(folders[-1].manifest().model_copy(update={"status": "ended"}))
        (folders[-1].path / "report.html").touch()

    names = [folder.path.name for folder in folders]
    assert len(set(names)) == 3 and names == sorted(names)


def test_a_run_that_ended_without_its_report_is_taken_again(tmp_path: Path) -> None:
    """It was killed in between; the same command replays it and writes the report."""
    config = RunConfig(runs=tmp_path / "runs")
    ended = open_run(config, manifest())
    ended.write_manifest(ended.manifest().model_copy(update={"status": "ended"}))

    assert open_run(config, manifest()).path == ended.path


def test_a_new_run_has_its_journal_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    """A name that cannot be a file's stands for a disk that fails after the folder was made."""
    config = RunConfig(runs=tmp_path / "runs")

    with pytest.raises(ResourceError):
        open_run(config, manifest(), kept={"no/such/folder.json": "{}"})
    left = list((tmp_path / "runs").iterdir())
    folder = open_run(config, manifest(), kept={"regimes.json": "{}", "gate_calibration.json": ""})

    assert left == []
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "config.toml",
        "journal.jsonl",
        "manifest.json",
        "regimes.json",
    ]
    assert folder.journal.stat().st_size == 0
    assert {path.stat().st_mode & 0o777 for path in folder.path.iterdir()} == {0o600}


def test_what_a_killed_process_left_half_made_is_swept_and_a_living_one_is_left_alone(tmp_path: Path) -> None:
    config = RunConfig(runs=tmp_path / "runs")
    gone, under_way = (tmp_path / "runs" / f".20200101T000000Z-sim-aa.{pid}.new" for pid in (2**22 + 1, os.getpid()))
    for folder in (gone, under_way):
        folder.mkdir(parents=True)

    open_run(config, manifest())

    assert (gone.exists(), under_way.exists()) == (False, True)


@pytest.mark.parametrize(
    ("status", "head", "known"),
    [("running", "", None), ("failed", "0" * 32, None), ("stopped", "a" * 32, False), ("ended", "a" * 32, True)],
)
def test_a_manifest_knows_the_journals_head_and_whether_it_is_its_last(
    status: str, head: str, known: bool | None
) -> None:
    made = RunManifest.model_validate({**manifest().model_dump(), "status": status, "journal_head": head})

    assert made.known_head == (None if known is None else KnownHead(head, last=known))


def test_the_newest_unended_folder_is_taken(tmp_path: Path) -> None:
    config = RunConfig(runs=tmp_path / "runs")
    newest = open_run(config, manifest())
    older = newest.path.with_name("20200101T000000Z-" + newest.path.name.partition("-")[2])
    older.mkdir()
    RunFolder(older).write_manifest(manifest())

    assert open_run(config, manifest()).path == newest.path


def test_a_broken_manifest_is_refused_by_name_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{")

    with pytest.raises(ResourceError, match=r"manifest\.json: cannot be read: file: Invalid JSON") as raised:
        RunFolder(tmp_path).manifest()

    assert "\n" not in str(raised.value)


def test_a_manifest_comes_back_as_written(tmp_path: Path) -> None:
    made = manifest()
    RunFolder(tmp_path).write_manifest(made)

    assert RunFolder(tmp_path).manifest() == made
    assert made.run_id == made.inputs.run_id and made.versions["trigate"]


class Watched(Journal):
    """Notes what the manifest says when the journal is made durable."""

    folder: RunFolder
    said: list[str]

    def sync(self) -> None:
        """As before."""
        self.said.append(self.folder.manifest().status)
        super().sync()


@pytest.mark.parametrize(("complete", "status"), [(True, "ended"), (False, "stopped")])
def test_the_manifest_knows_of_a_record_only_once_it_is_on_disk(tmp_path: Path, complete: bool, status: str) -> None:
    """After a loss of power the journal would else lack what the manifest says that it holds."""
    folder = open_run(RunConfig(runs=tmp_path / "runs"), manifest())
    with Watched.open(folder.journal) as journal:
        journal.folder, journal.said = folder, []
        journal.append("bar", {})
        mark_finished(folder, journal, Finished(cast(TraderState, None), 1, complete))

        assert journal.said == ["running"]
        assert (folder.manifest().status, folder.manifest().journal_head) == (status, journal.head)
