"""``python -m engine.sync DIR``: upload to W&B what was tracked offline."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from engine import results
from engine.tracking.wandb import account

USAGE = """usage: python -m engine.sync [--online] DIR …
  DIR       results directories that were tracked offline
  --online  also runs that were online, as one is that was given up"""
TIMEOUT_S = 600  # of one run


def waiting(directory: Path, online: bool) -> list[Path]:
    """The runs of a results directory that are not uploaded, oldest first; W&B itself marks those that are.

    Those of a sweep made of sweeps are the runs of each.

    Raises:
        results.ResultsError: it is no results directory.
    """
    if parts := results.read_manifest(directory)["config"]["sweep"]["sweeps"]:
        begun = [directory / name for name in parts if (directory / name / results.MANIFEST).exists()]
        return [run for part in begun for run in waiting(part, online)]
    runs = sorted((directory / "wandb").glob("offline-run-*/run-*.wandb"))
    if online:
        runs += sorted((directory / "wandb").glob("run-*/run-*.wandb"))
    return [path.parent for path in runs if not path.with_name(f"{path.name}.synced").exists()]


def sync(directory: Path, online: bool = False) -> int:
    """Upload the waiting runs of a directory; returns the exit code and says what it needs."""
    runs = waiting(directory, online)
    count = f"{len(runs)} W&B run{'s' if len(runs) > 1 else ''}"
    host = account.server().hostname
    if not runs:
        print(f"{directory}: nothing to upload: no W&B run was kept offline, or all are uploaded")
        return 0
    if not account.has_key():
        print(
            f"error: {directory} holds {count} to upload, which needs an account's API key for "
            f"{host}: set {account.KEY} or run `wandb login`",
            file=sys.stderr,
        )
        return 2
    if not account.reachable():
        print(f"error: {host} cannot be reached from here; {directory} keeps {count} to upload", file=sys.stderr)
        return 1
    for number, run in enumerate(runs, 1):
        print(f"{number}/{len(runs)}: {run.name}", flush=True)
        try:
            done = subprocess.run(
                (sys.executable, "-m", "wandb", "sync", "--include-online", str(run)),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
            said = done.stdout + done.stderr
        except subprocess.TimeoutExpired:
            print(f"error: {run}: no end within {TIMEOUT_S} s", file=sys.stderr)
            return 1
        if done.returncode or "error" in said.lower():
            last = next((line for line in reversed(said.splitlines()) if line.strip()), f"exit code {done.returncode}")
            print(f"error: {run} was not uploaded: {account.without_key(last.strip())}", file=sys.stderr)
            return 1
    print(f"{directory}: {count} uploaded")
    return 0


def main(argv: list[str]) -> int:
    """Upload the directories named; returns the exit code."""
    online = "--online" in argv
    names = [word for word in argv if word != "--online"]
    if not names or any(word.startswith("-") for word in names):
        print(USAGE, file=sys.stderr)
        return 0 if argv in (["-h"], ["--help"]) else 2
    try:
        return max(sync(Path(name), online) for name in names)
    except results.ResultsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
