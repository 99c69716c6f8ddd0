"""Several processes, or jobs of Hydra, fill one directory."""

import json
import os
import time

import pytest
from small_sweep import BLOCKS, SWEEP, Engine

import engine
from engine import command_line, processes
from engine.cluster import Cluster
from engine.config import ConfigError, read


def started(directory):
    """The first line of each process's journal."""
    return [json.loads(path.read_text().splitlines()[0]) for path in directory.glob("journal/*.jsonl")]


def test_multirun_over_shards_fills_one_directory(tmp_path, monkeypatch, whole):
    monkeypatch.chdir(tmp_path)
    code, told = Engine(["-m", *SWEEP, "shards=4", "shard=range(4)"], tmp_path / "log").wait()
    assert code == 0, told
    (out,) = tmp_path.glob("outputs/barriers/*")  # the default one, with the time in its name
    assert told.splitlines()[-1] == f"results: {out.relative_to(tmp_path)}"
    assert engine.load(out).equals(whole)
    assert sorted(process["shard"] for process in started(out)) == [0, 1, 2, 3]
    assert (out / "claims.json").exists()  # the last one reported on the whole
    assert not (out / "jobs").exists()


def test_a_job_that_is_refused_does_not_start_and_leaves_nothing(tmp_path):
    out = tmp_path / "out"
    code, told = Engine(["-m", *SWEEP, f"out={out}", "shards=2", "shard=0,2"], tmp_path / "log").wait()
    assert code == 2 and told == "error: shard=2 with shards=2, expected 0 … 1\n"
    assert not out.exists()


def test_two_processes_given_the_same_shard(tmp_path, whole):
    out = tmp_path / "out"
    both = [Engine([*SWEEP, f"out={out}"], tmp_path / f"log{i}") for i in range(2)]
    assert [process.wait()[0] for process in both] == [0, 0]
    assert engine.load(out).equals(whole)
    assert len(list(out.glob("parts/*"))) == BLOCKS


def test_local_cluster_is_several_processes(tmp_path, whole):
    out = tmp_path / "out"
    options = ["+cluster=local", "cluster.shards=3", "cluster.at_once=2"]
    code, told = Engine([*SWEEP, f"out={out}", *options], tmp_path / "log").wait()
    assert code == 0 and told.splitlines()[-1] == f"results: {out}", told
    assert engine.load(out).equals(whole)
    shards = {process["shard"]: process["pid"] for process in started(out) if process["shards"] == 3}
    assert len(shards) == len(set(shards.values())) == 3
    assert (out / "claims.json").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["cluster.shrads=2"], ["cluster.shrads", "did you mean 'cluster.shards'?"]),
        (["cluster.shards=0"], ["cluster.shards=0", "at least 1"]),
        (["cluster.shards=2", "shards=2", "shard=0"], ["beside +cluster", "cluster.shards=N"]),
        (["cluster.job=1"], ["cluster.job=1", "0 … 0"]),
    ],
    ids=lambda value: value[0],
)
def test_what_a_cluster_cannot_be(options, words):
    with pytest.raises(ConfigError) as error:
        read([*SWEEP, "+cluster=local", *options])
    assert all(word in str(error.value) for word in words)


def test_the_shards_of_a_job_are_dealt_to_its_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-5a")
    assert processes.visible_devices() == ["2", "GPU-5a"]
    dealt = [list(Cluster(shards=7, jobs=3, job=job).shards_of_job()) for job in range(3)]
    assert dealt == [[0, 3, 6], [1, 4], [2, 5]]


def test_more_shards_than_a_scheduler_takes_are_dealt_to_jobs_and_each_once(tmp_path):
    """The test cluster takes arrays of 65, Hydra launches 64 in five seconds."""
    dealt = [Cluster(shards=1000, job=job).shards_of_job() for job in range(Cluster(shards=1000).started())]
    assert len(dealt) == 64 and sorted(shard for job in dealt for shard in job) == list(range(1000))
    out = tmp_path / "out"
    command = [*SWEEP, f"out={out}", "+cluster=slurm", "cluster.shards=1000", "dry=true"]
    code, told = Engine(command, tmp_path / "log").wait()
    assert code == 0 and "cluster=slurm: 1000 shards in 64 jobs, at most 16 to a job" in told.splitlines(), told
    assert not out.exists()


def test_slurm_is_missing(tmp_path):
    out = tmp_path / "out"
    code, told = Engine([*SWEEP, f"out={out}", "+cluster=slurm"], tmp_path / "log", environment={"PATH": "/"}).wait()
    assert code == 2 and told == "error: cluster=slurm needs the command sbatch, which is not on this machine's PATH\n"
    assert not out.exists()


def test_what_the_jobs_of_a_launch_said_is_told_each_once(tmp_path):
    error = "error: out=x holds another sweep"
    for name, text in (("1_0", f"0/36 cells\n{error}\n"), ("1_1", f"{error}\nerror: shard 3: killed by signal 9\n")):
        (tmp_path / "jobs" / name).mkdir(parents=True)
        (tmp_path / "jobs" / name / f"{name}_0_log.out").write_text(text)
    old = tmp_path / "jobs" / "1_1" / "an_earlier_launch_log.out"
    old.write_text("error: out of memory\n")
    os.utime(old, (0, 0))
    told = command_line._errors(tmp_path, time.time() - 60)
    assert told == ["out=x holds another sweep", "shard 3: killed by signal 9"]
