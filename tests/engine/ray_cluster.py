"""A Ray cluster on this machine, in a process of its own: a head without CPUs, and nodes of one CPU each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ATTEMPTS = 3
SCRIPT = """
import json, sys
from ray.cluster_utils import Cluster
memory = 100 * 2**20
head = {"num_cpus": 0, "object_store_memory": memory, "include_dashboard": False, "temp_dir": sys.argv[1]}
cluster = Cluster(initialize_head=True, head_node_args=head)
nodes = [cluster.add_node(num_cpus=1, object_store_memory=memory) for _ in range(int(sys.argv[2]))]
print(cluster.address, flush=True)
for line in sys.stdin:
    what, _, name = line.strip().partition(" ")
    for node in [node for node in nodes if what == "remove" and node.node_id == name]:
        cluster.remove_node(node, allow_graceful=False)
        nodes.remove(node)
    if what == "remove_head":
        cluster.remove_node(cluster.head_node, allow_graceful=False)
    print("done", flush=True)
cluster.shutdown()
"""


class RayCluster:
    """A running cluster.

    Attributes:
        address: HOST:PORT of its head.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._process = process
        self.address = process.stdout.readline().strip()

    @property
    def engine(self) -> str:
        """The engine that uses it."""
        return f"ray://{self.address}"

    def do(self, line: str) -> None:
        """Remove a node ("remove NODE_ID"), or the head ("remove_head"), with its processes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"


@contextmanager
def ray_cluster(nodes: int) -> Iterator[RayCluster]:
    """Start a cluster, without a dashboard and without reports of usage, and end it with the block."""
    folder = Path(tempfile.mkdtemp(prefix="rr", dir="/tmp"))  # paths of sockets are short
    # Ray notes its last cluster in RAY_TMPDIR/ray, and does not make that folder where a cluster has one of its own.
    (folder / "ray").mkdir()
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": ":".join(sys.path)}
    environment["RAY_TMPDIR"] = str(folder)
    try:
        with _started(folder, nodes, environment) as cluster:
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _started(folder: Path, nodes: int, environment: dict[str, str]) -> Iterator[RayCluster]:
    """Start a cluster; once more where Ray gave up a node, which it does after 30 s, on a busy machine too."""
    for attempt in range(ATTEMPTS):
        place, errors = folder / str(attempt), folder / f"errors-{attempt}"
        with errors.open("w") as to:
            process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, str(place), str(nodes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=to,
                env=environment,
                text=True,
            )
        try:
            cluster = RayCluster(process)
            if cluster.address:
                yield cluster
                return
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
    raise AssertionError(f"the cluster did not start: {errors.read_text()[-2000:]}")
