"""What a paper run is made of before its first bar."""

from pathlib import Path

from orchestrator.run.config import RunConfig
from orchestrator.run.fed_rows import FedRows
from orchestrator.run.growing_file import GrowingFile
from orchestrator.run.paper_plan import check_paper, rows_of


def test_the_rows_of_a_run_are_its_bars_file_another_csv_or_a_feed(tmp_path: Path) -> None:
    """Where they come from is a part of what a run is, unless it is the bars file, as in runs of before."""
    grows, bars = tmp_path / "NQ_ticks.csv", tmp_path / "NQ_live.csv"
    grows.write_text("datetime,price,size\n2024-01-03T14:30:00.5Z,17000,1\n")
    made = [
        RunConfig.model_validate({"mode": "paper", "bars": bars, "feed": feed})
        for feed in ({}, {"source": str(grows), "rows": "ticks"}, {"source": "tcp://127.0.0.1:5557"})
    ]
    for config in made:
        check_paper(config)
    own, other, fed = (rows_of(config, lambda text: None) for config in made)

    assert isinstance(own.rows, GrowingFile) and (own.name, own.kind) == ("NQ_live.csv", "minutes")
    assert (other.name, other.kind, len(other.rows.read().lines)) == ("NQ_ticks.csv", "ticks", 2)
    assert isinstance(fed.rows, FedRows) and (fed.name, fed.kind) == ("feed", "minutes")
    fed.rows.close()
    assert "feed" not in made[0].identity and made[1].identity["feed"]["rows"] == "ticks"
