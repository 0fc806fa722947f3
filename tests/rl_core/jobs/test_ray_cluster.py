"""On a Ray cluster of two nodes, one of which dies in the middle, no fold is lost and no byte is another."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rl_core.bars.write import write_bars
from rl_core.jobs.job import JobContext, JobFailedError
from rl_core.jobs.ray_cluster import RayCluster
from tests.import_graph import ROOT
from tests.processes.commands import call_here, wait_until
from tests.rl_core.jobs.some_work import job
from tests.rl_core.jobs.test_trainings import AS_THE_TESTS_COMPILE, SETTINGS, left_in
from tests.rl_core.markets import random_bars, session_minutes

ray = pytest.importorskip("ray", reason="Ray is not here: uv pip install ray (extra ray, in no lock)")
pytestmark = [
    pytest.mark.process,
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::ResourceWarning", "ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that does no job, and nodes that do one each; they find our code and compile as the tests do."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        for name, value in AS_THE_TESTS_COMPILE.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        yield made
        ray.shutdown()
        made.shutdown()


def two_nodes(cluster: Any) -> list[Any]:
    """Its nodes; one that an earlier test killed is replaced."""
    while len(cluster.worker_nodes) < 2:
        cluster.add_node(num_cpus=1)
    return list(cluster.worker_nodes)


def test_a_job_of_a_node_that_dies_is_done_by_another_and_none_is_lost(cluster: Any, tmp_path: Path) -> None:
    nodes = two_nodes(cluster)
    begun = tmp_path / "begun"
    jobs = [job(f"fold {number}", number=number, begun=str(begun), takes_s=1.5) for number in range(4)]

    def kill_one() -> None:
        wait_until(lambda: begun.exists() and len(begun.read_text().splitlines()) >= 2)
        cluster.remove_node(nodes[0], allow_graceful=False)

    killer = threading.Thread(target=kill_one)
    killer.start()
    results = list(RayCluster(cluster.address).run(jobs, JobContext()))
    killer.join()

    assert [result["square"] for result in results] == [0, 1, 4, 9]
    assert len(begun.read_text().splitlines()) > len(jobs), "one was begun twice"


def test_a_fault_is_told_with_the_jobs_name(cluster: Any) -> None:
    two_nodes(cluster)

    with pytest.raises(JobFailedError, match="fold 2: no bar is left"):
        list(RayCluster(cluster.address).run([job("fold 1"), job("fold 2", fault="no bar is left")], JobContext()))


def test_a_walk_on_two_nodes_of_which_one_is_killed_leaves_the_bytes_of_one_in_turn(
    cluster: Any, tmp_path: Path
) -> None:
    bars = tmp_path / "NQ_D1M.parquet"
    write_bars(random_bars(4, session_minutes(6)), bars)
    walk = ("walk-forward", "--bars", bars, "--folds", 3, "--seeds", 1, "--first-share", 0.5, *SETTINGS)
    alone = call_here("rl-core", *walk, "--out", tmp_path / "a" / "w")
    assert alone.returncode == 0, alone.stderr
    nodes = two_nodes(cluster)
    out = tmp_path / "b" / "w"

    def kill_one() -> None:
        wait_until(lambda: any(out.rglob("run.json")))
        cluster.remove_node(nodes[0], allow_graceful=False)

    killer = threading.Thread(target=kill_one)
    killer.start()
    told = call_here("rl-core", *walk, "--out", out, "--executor", "ray", "--address", cluster.address)
    killer.join()

    assert told.returncode == 0, told.stderr
    assert left_in(out) == left_in(tmp_path / "a" / "w")
    assert len(json.loads((out / "walk_forward.json").read_text())["folds"]) == 2
