"""How CPU kernels are compiled: ``@kernel`` for what Python calls, ``@inline`` and ``@part`` for what kernels call.

numba's own disk cache keys a function by its own file, so that an edit of ``simd.py`` would leave stale machine code
behind, numbers its files, so that two processes may exchange theirs, and refuses to work where nothing is writable.
``KernelCache`` takes its place: one file per function, types and CPU, its name a hash of everything it was made of.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import logging
import os
import pickle
import platform
import tempfile
from pathlib import Path

import llvmlite
import numba
from numba.core import serialize
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult

PACKAGE = Path(__file__).resolve().parent
log = logging.getLogger(__name__)


def inline(function):
    """Compile ``function`` into the code of its callers: registers stay registers across the call."""
    return numba.njit(forceinline=True, error_model="numpy", nogil=True)(function)


def leaf(function):
    """As ``inline``, for a function that makes no array, which then counts no references.

    Where branches keep numba from removing the counts, they take as long as a tile of arithmetic.
    """
    return numba.njit(forceinline=True, error_model="numpy", nogil=True, _nrt=False)(function)


def kernel(function):
    """Compile ``function`` at its first call, without the interpreter lock, and keep the machine code on disk."""
    return _kept(function)


def part(function):
    """As ``kernel``, for a function that makes no array: what kernels call without having it inlined."""
    return _kept(function, _nrt=False)


def _kept(function, **options):
    dispatcher = numba.njit(error_model="numpy", nogil=True, **options)(function)
    dispatcher._cache = KernelCache(function)  # what ``njit(cache=True)`` does with a cache of numba's
    return dispatcher


@functools.cache
def sources(path: Path) -> tuple[Path, ...]:
    """``path`` and every file of this package that it imports, directly or through others, sorted."""
    found, waiting = set(), [path]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        for node in ast.walk(ast.parse(file.read_bytes())):
            if not isinstance(node, ast.ImportFrom):
                continue
            module = node.module.split(".") if node.module else []
            if node.level or module[0] == PACKAGE.name:
                folder = (file.parents[node.level - 1] if node.level else PACKAGE.parent).joinpath(*module)
                names = [folder, *(folder / name.name for name in node.names)]
                waiting += [name.with_suffix(".py") for name in names if name.with_suffix(".py").is_file()]
    return tuple(sorted(found))


@functools.cache
def fingerprint(path: Path) -> str:
    """Hash of what the machine code of a kernel in ``path`` depends on, besides its types and the CPU."""
    digest = hashlib.sha256()
    for version in (numba.__version__, llvmlite.__version__, platform.python_version()):
        digest.update(version.encode() + b"\0")
    for file in sources(path):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _usable(folder: Path) -> bool:
    """Can files be written in ``folder``, and by nobody else where that matters: loading them runs them."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


@functools.cache
def cache_folder() -> Path | None:
    """Where machine code is kept: ``NUMBA_CACHE_DIR``, else beside the sources, the user's cache, a private folder.

    The last is in the temporary directory, which others can write: it must belong to this user alone.
    """
    if numba.config.CACHE_DIR:
        candidates = [Path(numba.config.CACHE_DIR) / "kernels"]
    else:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        candidates = [PACKAGE / "__pycache__", Path(home) / "isoloss"]
    for folder in candidates:
        if _usable(folder):
            return folder
    private = Path(tempfile.gettempdir()) / f"isoloss-{os.getuid() if hasattr(os, 'getuid') else 'kernels'}"
    if _usable(private) and hasattr(os, "getuid"):
        status = private.lstat()
        if status.st_uid == os.getuid() and not private.is_symlink() and not status.st_mode & 0o077:
            return private
    log.warning("no folder can be written for compiled kernels: every process compiles them anew")
    return None


class KernelCache(_Cache):
    """Machine code of one function on disk, one file per types and CPU."""

    def __init__(self, function):
        path = Path(function.__code__.co_filename).resolve()
        self._fingerprint = functools.partial(fingerprint, path)
        self._name = f"{function.__module__}.{function.__qualname__}"

    @property
    def cache_path(self) -> str:
        """The folder, empty where there is none."""
        return str(cache_folder() or "")

    def _file(self, types, codegen) -> tuple[Path | None, str]:
        """Where the code for these types is kept, and the pattern of names of all its versions."""
        folder = cache_folder()
        target = hashlib.sha256(repr((str(types), codegen.magic_tuple())).encode()).hexdigest()[:16]
        name = f"{self._name}-{target}"
        return folder and folder / f"{name}-{self._fingerprint()[:24]}.kernel", f"{name}-*.kernel"

    def load_overload(self, sig, target_context):
        """The compiled function for types ``sig``, or None."""
        target_context.refresh()
        file, _ = self._file(sig, target_context.codegen())
        if file is None:
            return None
        try:
            return CompileResult._rebuild(target_context, *pickle.loads(file.read_bytes()))
        except FileNotFoundError:
            return None
        except Exception as reason:  # cut short by a full disk, or of a numba that pickles otherwise
            log.warning("%s: unreadable, compiled anew (%s: %s)", file, type(reason).__name__, reason)
            return None

    def save_overload(self, sig, data):
        """Keep the compiled function, written beside and renamed, so that no process reads half a file."""
        file, versions = self._file(sig, data.codegen)
        if file is None:
            return
        beside = file.with_suffix(f".{os.getpid()}")
        try:
            beside.write_bytes(serialize.dumps(data._reduce()))
            os.replace(beside, file)
            for old in file.parent.glob(versions):
                if old != file:
                    old.unlink()
        except OSError as reason:
            log.warning("%s: not kept (%s)", file, reason)
            with contextlib.suppress(OSError):
                beside.unlink()

    def enable(self):
        """Part of numba's interface; this cache is always on."""

    def disable(self):
        """Part of numba's interface; this cache is always on."""

    def flush(self):
        """Part of numba's interface; nothing is held back."""
