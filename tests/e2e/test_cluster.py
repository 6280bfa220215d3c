"""`--scheduler`: a cluster that others started does the work, byte for byte as this machine alone, and lives on."""

import os
from collections.abc import Iterator

import pytest
from distributed import LocalCluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two workers of two threads, as somebody else starts them."""
    with LocalCluster(
        n_workers=2, threads_per_worker=2, processes=True, memory_limit=None, dashboard_address="127.0.0.1:0"
    ) as started:
        yield started


def test_a_cluster_changes_no_byte_and_is_left_running(rig, aligned, cluster, dpedtool, content):
    address = cluster.scheduler_address
    # Relative names, which mean nothing to the workers.
    ended = dpedtool("align", "phone", "dslr", "-o", "by_cluster", "--scheduler", address, cwd=rig.folder)
    assert ended.said == []
    by_cluster, here = (content(folder) for folder in (rig.folder / "by_cluster", aligned))
    # Times are the machine's.
    assert by_cluster.pop("timings.parquet")
    assert here.pop("timings.parquet")
    assert by_cluster == here
    dpedtool("patches", aligned, "-o", rig.folder / "cut_alone", "--workers", 1)
    surroundings = os.environ | {"DASK_SCHEDULER_ADDRESS": address}
    ended = dpedtool("patches", "aligned", "-o", "cut_by_cluster", cwd=rig.folder, env=surroundings)
    assert ended.said == []
    assert content(rig.folder / "cut_by_cluster") == content(rig.folder / "cut_alone")
    assert len(cluster.scheduler.workers) == 2
    assert not cluster.scheduler.tasks


@pytest.mark.parametrize("address", ["nowhere://host", "tcp://127.0.0.1:1"])
def test_no_scheduler_at_the_address_is_one_sentence(rig, tmp_path, dpedtool, address):
    sentence = dpedtool("align", rig.phone, rig.dslr, "-o", tmp_path / "out", "--scheduler", address, code=1).sentence
    assert sentence.startswith(f"No Dask scheduler answers at {address} (")
    assert "DASK_SCHEDULER_ADDRESS" in sentence
