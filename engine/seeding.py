"""Every random draw has its own generator, seeded by a hash of what it is for."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest(**what: Any) -> str:
    """32 hexadecimal digits from named values; their order does not matter, integral floats equal integers."""

    def plain(value):
        if isinstance(value, dict):
            return {str(key): plain(entry) for key, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(entry) for entry in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    text = json.dumps(plain(what), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def seed_of(**what: Any) -> int:
    """A seed below 2⁶³ from named values."""
    return int(digest(**what)[:16], 16) >> 1
