"""Whether W&B is reached, and what must not be told of it; imports no W&B."""

from __future__ import annotations

import contextlib
import netrc
import os
import socket
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

KEY = "WANDB_API_KEY"
SHORTEST = 8  # letters of a key; W&B's have 40 or more


def has_key() -> bool:
    """Whether W&B would find an account's key: in its environment variables or in a netrc file."""
    if os.environ.get(KEY) or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    for path in (os.environ.get("NETRC"), Path.home() / ".netrc", Path.home() / "_netrc"):
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            if path and netrc.netrc(str(path)).authenticators(server().hostname or ""):
                return True
    return False


def server() -> SplitResult:
    """The server's address."""
    return urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai")


def reachable(timeout_s: float = 10.0) -> bool:
    """Whether the server accepts a connection; true where a proxy stands between, which alone could tell."""
    if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"):
        return True
    at = server()
    with (
        contextlib.suppress(OSError),
        socket.create_connection((at.hostname or "", at.port or (80 if at.scheme == "http" else 443)), timeout_s),
    ):
        return True
    return False


def mode(asked: str) -> str:
    """How W&B is run: as asked; for ``auto`` as WANDB_MODE says, else online where there is a key."""
    if asked != "auto":
        return asked
    return os.environ.get("WANDB_MODE") or ("online" if has_key() else "offline")


def sentence(error: BaseException) -> str:
    """The first line of an error, without the account's key."""
    return without_key(next(iter(str(error).splitlines()), "") or type(error).__name__)


def without_key(words: str) -> str:
    """The words with the account's key blotted out."""
    key = os.environ.get(KEY, "")
    # what is shorter is no key, and may stand in any word
    return words.replace(key, "…") if len(key) >= SHORTEST else words
