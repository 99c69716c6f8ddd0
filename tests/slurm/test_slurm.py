"""Multiruns through a real SLURM: the rows are those of one process, whatever happens to jobs and launcher.

The scenarios run side by side, each in a directory of its own, and the tests look at what they left.
"""

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest
from small_sweep import BLOCKS, SWEEP, Engine

import engine

sys.path.insert(0, str(Path(__file__).parent))
from one_node import OneNode, missing

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(missing() is not None, reason=f"no SLURM here: {missing()}"),
]

SLOW = "minima.steps=1000"  # so that a block takes long enough to be interrupted in
# two sweeps of a few seconds
SERIES = ["+sweep=paper", "sweep.sweeps=[permutation,conditions]", "tracking=none"]


def ask_often():
    """In a launcher: Submitit asks of a job that has left no result after 2, 4, 8, … seconds; here after each."""
    from submitit.slurm import slurm

    slurm.SlurmJob.watcher = slurm.SlurmInfoWatcher(delay_s=1)


class Launch:
    """``python -m engine`` in a process of its own, on a cluster."""

    def __init__(self, cluster, out, *argv):
        self.cluster, self.out = cluster, out
        self.argv = argv or (*SWEEP, SLOW, f"out={out}")
        self.engine = None

    started: ClassVar[list] = []

    def start(self, *options):
        log = self.out.with_name(f"{self.out.name}-{len(self.started)}.log")
        environment = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        environment |= self.cluster.environment if self.cluster else {}
        self.engine = Engine([*self.argv, *options], log, ask_often, environment)
        self.started.append(self.engine.process)
        return self

    def slurm(self, *options):
        return self.start("+cluster=slurm", "cluster.partition=gpu", "cluster.cpus=1", *options)

    def wait(self):
        """Exit code and output."""
        return self.engine.wait()

    def until(self, condition, seconds=240):
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, (self.journal(), self.cluster.ask("squeue", "--states=all"))
            time.sleep(0.05)
        return found

    def journal(self):
        """The events of all processes."""
        lines = []
        for path in self.out.glob("journal/*.jsonl"):
            events = [json.loads(line) for line in path.read_text().splitlines()]
            lines += [event | {"pid": events[0]["pid"], "of": events[0]["shards"]} for event in events]
        return lines

    def events(self, name):
        return [event for event in self.journal() if event["event"] == name]

    def job(self, index=0):
        """SLURM's name of a job of the array."""
        ids = self.until(lambda: list(self.out.glob("jobs/*/*_submitted.pkl")))
        return min(path.parent.name for path in ids).rpartition("_")[0] + f"_{index}"


def all_done(cluster, out):
    """Three shards in two jobs of two GPUs each, without -m."""
    launch = Launch(cluster, out).slurm("cluster.shards=3", "cluster.jobs=2", "cluster.gpus=2")
    return launch.wait(), launch


def killed(cluster, out):
    """A task dies by SIGKILL; the same command again, with both shards in one job."""
    launch = Launch(cluster, out, "-m", *SWEEP, SLOW, f"out={out}").slurm("cluster.shards=2")
    pid = launch.until(lambda: [e["pid"] for e in launch.events("end") if e["of"] == 2])[0]
    os.kill(pid, signal.SIGKILL)
    first = launch.wait()
    return first, launch.slurm("cluster.shards=2", "cluster.jobs=1").wait(), launch


def timed_out(cluster, out):
    """What SLURM sends before a time-out, in the middle of a block; the job is queued again by itself."""
    launch = Launch(cluster, out).slurm("cluster.shards=2", "cluster.timeout_min=2", "cluster.signal_s=5")
    launch.until(lambda: len(launch.events("end")) >= 2)
    cluster.ask("scancel", "--signal=USR2", launch.job(0))
    return launch.wait(), launch


def cancelled(cluster, out):
    """scancel, then resume by hand on this machine."""
    launch = Launch(cluster, out).slurm("cluster.shards=2")
    launch.until(lambda: launch.events("end"))
    cluster.ask("scancel", launch.job(0))
    first = launch.wait()
    return first, Launch(None, out, f"resume={out}").start().wait(), launch


def launcher_killed(cluster, out):
    """The jobs go on without the process that started them."""
    launch = Launch(cluster, out).slurm("cluster.shards=2")
    launch.until(lambda: launch.events("begin"))
    launch.engine.process.kill()
    launch.wait()
    launch.until(lambda: (out / "claims.json").exists())
    return launch


def preempted(state, out):
    """A job of a partition with priority takes the node."""
    with OneNode(state, cpus=1) as cluster:
        launch = Launch(cluster, out).slurm("cluster.shards=1", "cluster.gpus=0")
        launch.until(lambda: launch.events("end"))
        cluster.ask("sbatch", "--partition=urgent", "--output=/dev/null", "--wrap=sleep 1")
        return launch.wait(), launch


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory):
    """What each scenario left, by its name."""
    base = tmp_path_factory.mktemp("slurm")
    alike = (timed_out, killed, cancelled, launcher_killed, all_done)
    # first, so that kernels are compiled once and not by all jobs at the same time
    whole = engine.load(engine.run("barriers", [*SWEEP[1:], SLOW, f"out={base / 'whole'}"]))
    with OneNode(base / "state") as cluster, ThreadPoolExecutor(len(alike) + 1) as pool:
        futures = {run.__name__: pool.submit(run, cluster, base / run.__name__) for run in alike}
        futures["preempted"] = pool.submit(preempted, base / "state2", base / "preempted")
        for future in futures.values():
            future.exception(timeout=400)
    yield whole, futures
    for process in Launch.started:
        process.kill()


def check_rows(launch, whole, blocks=BLOCKS):
    """Every row is there, once, and the same; no block was computed twice after its part was written."""
    assert engine.load(launch.out).equals(whole)
    assert len(list(launch.out.glob("parts/*.parquet"))) == blocks
    ends = [end["block"] for end in launch.events("end")]
    assert sorted(ends) == sorted(set(ends))


def test_all_shards_done(scenarios):
    (code, told), launch = scenarios[1]["all_done"].result()
    assert code == 0 and told.splitlines()[-1] == f"results: {launch.out}", told
    check_rows(launch, scenarios[0])
    shards = {event["shard"]: event["gpus"] for event in launch.events("start") if event["of"] == 3}
    assert sorted(shards) == [0, 1, 2]
    assert all(len(shards[shard].split(",")) == 1 for shard in (0, 2))  # one GPU for each process
    assert shards[0] != shards[2]  # of one job, at the same time
    assert not (launch.out / "jobs").exists() and not list(launch.out.rglob("*.pkl"))


def test_a_killed_task_is_missed_and_the_same_command_goes_on(scenarios):
    (code, told), (again, told_again), launch = scenarios[1]["killed"].result()
    assert code == 1 and "blocks are missing" in told and "dead" in told and "Traceback" not in told, told
    assert again == 0, told_again
    check_rows(launch, scenarios[0])


def test_a_job_that_times_out_is_queued_again_and_goes_on(scenarios):
    (code, told), launch = scenarios[1]["timed_out"].result()
    assert code == 0, told
    assert [event["reason"] for event in launch.events("stop") if event["code"]] == ["SIGUSR2"]
    begun = [event["block"] for event in launch.events("begin")]
    assert sorted(begun) == sorted(set(begun))  # the block that was being computed was finished first
    check_rows(launch, scenarios[0])


def test_cancelled_and_resumed_by_hand(scenarios):
    (code, told), (again, told_again), launch = scenarios[1]["cancelled"].result()
    assert code == 1 and "blocks are missing" in told, told
    assert again == 0, told_again
    check_rows(launch, scenarios[0])
    assert not (launch.out / "jobs").exists()


def test_jobs_outlive_their_launcher(scenarios):
    check_rows(scenarios[1]["launcher_killed"].result(), scenarios[0])


def test_a_preempted_job_is_queued_again_and_goes_on(scenarios):
    (code, told), launch = scenarios[1]["preempted"].result()
    assert code == 0, told
    assert any(event["code"] for event in launch.events("stop"))
    check_rows(launch, scenarios[0])


# python -m pytest -n 0 -m slow tests/slurm   (three minutes: SLURM's shortest limit is one)
@pytest.mark.slow
def test_a_series_over_jobs_ends_with_its_claims_together(tmp_path):
    with OneNode(tmp_path / "state") as cluster:
        launch = Launch(cluster, tmp_path / "out", *SERIES, f"out={tmp_path / 'out'}").slurm("cluster.shards=2")
        code, told = launch.wait()
    assert code == 0 and told.splitlines()[-1] == f"results: {launch.out}", told
    together = json.loads((launch.out / "claims.json").read_text())
    assert {entry["sweep"]: entry["verdict"] for entry in together} == {"permutation": "holds", "conditions": "holds"}
    for name in ("permutation", "conditions"):
        shards = {
            json.loads(path.read_text().splitlines()[0])["shard"] for path in launch.out.glob(f"{name}/journal/*")
        }
        assert shards == {0, 1} and (launch.out / name / "report.html").exists()
    assert (launch.out / "report.html").exists() and not list(launch.out.rglob("*.pkl"))


@pytest.mark.slow  # as above
def test_a_time_limit_that_is_reached(tmp_path):
    long = [*SWEEP, "sweep.seeds=300", "sweep.relations=[rescaled,permuted]", "minima.steps=1000"]  # 1350 blocks
    with OneNode(tmp_path / "state") as cluster:
        launch = Launch(cluster, tmp_path / "out", *long, f"out={tmp_path / 'out'}")
        launch.slurm("cluster.shards=1", "cluster.timeout_min=1", "cluster.signal_s=10")
        whole = engine.load(engine.run("barriers", [*long[1:], f"out={tmp_path / 'whole'}"]))
        code, told = launch.wait()
    assert code == 0, told
    stopped = [event for event in launch.events("stop") if event["code"]]
    assert stopped and {event["reason"] for event in stopped} == {"SIGUSR2"}
    begun = [event["block"] for event in launch.events("begin")]
    assert sorted(begun) == sorted(set(begun))
    check_rows(launch, whole, blocks=9 * 150)
