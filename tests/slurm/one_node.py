"""A SLURM cluster of one node, private to the tests: munged, slurmctld and slurmd below one directory.

``python tests/slurm/one_node.py install`` installs Debian's packages.  No systemd, no cgroups and no database are
needed.  GPUs are character devices that do nothing: SLURM counts them and sets CUDA_VISIBLE_DEVICES, no more is asked.
"""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client")
DAEMONS = ("munged", "slurmctld", "slurmd")
SBIN = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))

CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={node}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
# a job that is queued again starts after the credential's life, two minutes by default; its step must begin within one,
# which takes seconds where the machine is busy
AuthInfo=socket={state}/munge.socket,cred_expire=10
CredType=cred/munge
StateSaveLocation={state}/controller
SlurmdSpoolDir={state}/node
SlurmctldPidFile={state}/slurmctld.pid
SlurmdPidFile={state}/slurmd.pid
SlurmctldLogFile={state}/slurmctld.log
SlurmdLogFile={state}/slurmd.log
PlugStackConfig={state}/plugstack.conf
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
# the defaults are made for a thousand nodes: here a job may start at once
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=2,bf_interval=1
MaxArraySize=65
# jobs that have ended are remembered: sacct, beside this file, asks for them
MinJobAge=86400
KillWait=3
CompleteWait=0
SlurmdTimeout=15
ReturnToService=2
PropagateResourceLimits=NONE
# more cores and memory than there are
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={node} NodeHostname={node} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=64000 Gres=gpu:{gpus} State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
PartitionName=gpu Nodes={node} Default=YES MaxTime=UNLIMITED State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes={node} MaxTime=UNLIMITED State=UP PriorityTier=10 PreemptMode=OFF
"""


def missing() -> str | None:
    """Why there can be no cluster here, or None."""
    for tool in (*DAEMONS, "sbatch"):
        if shutil.which(tool, path=SBIN) is None:
            return f"{tool} is not installed (python tests/slurm/one_node.py install, as root)"
    return None


class OneNode:
    """The cluster, up while it is entered."""

    def __init__(self, state: Path, cpus: int = 16, gpus: int = 16):
        self.state, self.cpus, self.gpus = state, cpus, gpus
        self.environment = {
            "SLURM_CONF": str(state / "slurm.conf"),
            "PATH": os.pathsep.join((str(Path(__file__).parent / "bin"), SBIN)),
        }

    def __enter__(self):
        self._write()
        self._run("munged", "--force", "--num-threads=2", *self._munge_files())
        self._run("slurmctld", "-f", self.state / "slurm.conf")
        self._run("slurmd", "-f", self.state / "slurm.conf")
        end = time.monotonic() + 20
        while self.ask("sinfo", "-h", "-o", "%T", "-p", "gpu").strip() != "idle":
            if time.monotonic() > end:
                logs = "\n".join(path.read_text()[-2000:] for path in self.state.glob("*.log"))
                self.__exit__()
                raise RuntimeError(f"the node did not become idle:\n{logs}")
            time.sleep(0.1)
        return self

    def __exit__(self, *error):
        pids = {name: pid for name in DAEMONS if (pid := self._pid(name))}
        if len(pids) == len(DAEMONS):
            self.ask("scancel", "--full", "--user", pwd.getpwuid(os.getuid()).pw_name)
            self._wait(lambda: not self.ask("squeue", "-h").strip(), 8)
        for name in reversed(DAEMONS):
            if pid := pids.get(name):
                os.kill(pid, signal.SIGTERM)
                # the daemon takes its pid file away before it ends
                self._wait(lambda pid=pid: not _alive(pid), 8)
                if _alive(pid):
                    os.kill(pid, signal.SIGKILL)
        self._kill_orphans()

    def ask(self, *command: object) -> str:
        """What a command of SLURM prints."""
        done = subprocess.run(
            [str(word) for word in command],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        return done.stdout

    def _write(self):
        for name in ("controller", "node", "devices"):
            (self.state / name).mkdir(parents=True, exist_ok=True)
        key = self.state / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        self.state.chmod(0o711)  # munged refuses a directory that others may write
        node = socket.gethostname().partition(".")[0]
        text = CONFIGURATION.format(
            node=node,
            user=pwd.getpwuid(os.getuid()).pw_name,
            state=self.state,
            ports=_free_ports(2),
            cpus=self.cpus,
            gpus=self.gpus,
        )
        (self.state / "slurm.conf").write_text(text)
        (self.state / "plugstack.conf").write_text("")
        (self.state / "cgroup.conf").write_text("CgroupAutomount=no\nConstrainCores=no\nConstrainDevices=no\n")
        lines = (f"NodeName={node} Name=gpu File={self._device(i)}\n" for i in range(self.gpus))
        (self.state / "gres.conf").write_text("".join(lines))

    def _device(self, index: int) -> Path:
        """A character device: a twin of /dev/null, or where none may be made one that is there."""
        path = self.state / "devices" / f"nvidia{index}"
        with contextlib.suppress(PermissionError):
            os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
            return path
        return Path("/dev", ("null", "zero", "full", "random", "urandom", "tty")[index])

    def _munge_files(self) -> list[str]:
        files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munged.pid"}
        files |= {"log-file": "munged.log", "seed-file": "munge.seed"}
        return [f"--{option}={self.state / name}" for option, name in files.items()]

    def _run(self, *command: object):
        subprocess.run([str(word) for word in command], env=os.environ | self.environment, check=True, timeout=30)

    def _pid(self, name: str) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.state / f"{name}.pid").read_text())
            return pid if _alive(pid) and Path(f"/proc/{pid}/comm").read_text().strip() == name else None
        return None

    def _kill_orphans(self):
        """What a slurmd left behind that died before its jobs: processes with this cluster in their environment."""
        mine = f"SLURM_CONF={self.environment['SLURM_CONF']}".encode()
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                variables = environ.read_bytes().split(b"\0")
                if mine in variables and any(variable.startswith(b"SLURM_JOB_ID=") for variable in variables):
                    os.kill(int(environ.parent.name), signal.SIGKILL)

    @staticmethod
    def _wait(condition, seconds: float):
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            time.sleep(0.1)


def _alive(pid: int) -> bool:
    """Whether a process runs; one that only waits for its parent to ask for its exit code does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def install():
    """Install the packages where root may; says in a line what could not be had and why."""
    if missing() is None:
        return
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        print("tests/slurm will be skipped: installing SLURM needs root and apt-get")
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(
            ["apt-get", "-qq", *command], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            print(f"tests/slurm will be skipped: apt-get {command[0]} failed ({' '.join(last)})")
            return


if __name__ == "__main__" and sys.argv[1:] == ["install"]:
    install()
