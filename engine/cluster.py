"""One sweep over several processes: the shards of a job, one after the other or each in a process of its own.

A scheduler starts jobs, a job takes shards, a shard is dealt blocks; the processes share nothing but the results
directory, and need not know of each other.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Cluster:
    """Options of ``+cluster=local`` and ``+cluster=slurm``."""

    # local or slurm
    name: str = "local"
    # the work is dealt to so many
    shards: int = 1
    # given to the scheduler at most; beyond that a job takes several shards
    jobs: int = 64
    # which of them this is; the multirun sets it
    job: int = 0
    # shards of a job at a time, in processes of their own; null: one per GPU, on one machine without GPUs all of them
    at_once: int | None = None
    # of each job
    gpus: int = 1
    # of each job
    cpus: int = 4
    # of each job; null: the scheduler's default
    memory_gb: int | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    # a job that has not ended by then is stopped and started again
    timeout_min: int = 240
    # as often as this
    requeues: int = 20
    # so long before that it is told
    signal_s: int = 120
    # jobs that run at the same time at most
    parallel: int = 256

    def __post_init__(self):
        for option, least in (
            ("shards", 1),
            ("jobs", 1),
            ("at_once", 1),
            ("gpus", 0),
            ("cpus", 1),
            ("memory_gb", 1),
            ("timeout_min", 1),
            ("requeues", 0),
            ("signal_s", 1),
            ("parallel", 1),
        ):
            value = getattr(self, option)
            if isinstance(value, int) and value < least:
                raise ValueError(f"cluster.{option}={value}, expected at least {least}")

    def started(self) -> int:
        """How many jobs there are."""
        return min(self.shards, self.jobs)

    def shards_of_job(self) -> range:
        """The numbers of the shards that this job takes."""
        return range(self.job, self.shards, self.started())

    def describe(self) -> str:
        """How the work is dealt, in words."""
        most = -(-self.shards // self.started())
        return f"cluster={self.name}: {self.shards} shards in {self.started()} jobs, at most {most} to a job"
