"""The process that tracks: reads from standard input what the sweep has done, and answers on standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from engine.tracking.wandb import account


def main(say: Callable[..., None]) -> int:
    """Track until the input ends; returns the exit code."""
    runs = None
    try:
        # importing W&B is what may fail first
        from engine.tracking.wandb.runs import Runs

        for line in sys.stdin:
            message = json.loads(line)
            if "directory" in message:
                runs = Runs(Path(message["directory"]), message["shard"], message["options"])
            elif "block" in message:
                for _ in runs.block(message["block"]):
                    say(cells=runs.count)
            else:
                if message["whole"]:
                    for _ in runs.whole(message["figures"]):
                        say(alive=True)
                say(done=runs.finish())
                return 0
            say(alive=True)
        if runs is not None:
            runs.finish()  # the sweep was ended; what is finished is logged
    except BaseException as error:
        say(error=account.sentence(error))
        return 1
    return 0


if __name__ == "__main__":
    # nothing that W&B prints is taken for an answer
    channel = os.dup(1)
    os.dup2(2, 1)
    code = main(lambda **words: os.write(channel, json.dumps(words).encode() + b"\n"))
    # W&B's own clean-up at exit waits for a service that may be gone
    os._exit(code)
