"""The user's own arrays from a NumPy ``.npz`` file: ``x``, ``y`` and, if given, ``x_test``, ``y_test``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from engine.data import Shape
from engine.types import Architecture, Data, Split


@dataclass
class Config:
    """Options of ``data=npz``.  The file is never unpickled."""

    has_teacher: ClassVar[bool] = False

    name: str = "npz"
    # the file; x (N, features) real, y (N, outputs) real or (N,) integer labels from 0
    path: str = ""
    # subtract the training mean of each feature and divide by its standard deviation
    standardize: bool = True
    # share of the samples kept for testing where the file has no x_test, y_test
    test_share: float = 0.2
    # classes; null: the largest label plus one
    classes: int | None = None

    def __post_init__(self):
        if not 0 <= self.test_share < 1:
            raise ValueError(f"data.test_share={self.test_share}, expected a number from 0 to below 1")
        if self.classes is not None and self.classes < 1:
            raise ValueError(
                f"data.classes={self.classes}, expected at least 1, or null for the largest label plus one"
            )

    def shape(self, architecture: Architecture) -> Shape:
        """The sizes, the same for every architecture."""
        arrays = self.arrays
        samples, given = len(arrays["x"]), len(arrays.get("x_test", ()))
        test = given if "x_test" in arrays else round(samples * self.test_share)
        return Shape(
            arrays["x"].shape[1],
            self._outputs(arrays["y"]),
            samples - (0 if "x_test" in arrays else test),
            test,
            classes=arrays["y"].ndim == 1,
        )

    def draw(self, architecture: Architecture, seed: int, network) -> Data:
        """The arrays of the file, split by a random order where it has no test set."""
        arrays = {name: torch.from_numpy(array) for name, array in self.arrays.items()}
        x, y = arrays["x"], arrays["y"]
        if "x_test" in arrays:
            train, test = Split(x, y), Split(arrays["x_test"], arrays["y_test"])
        else:
            order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
            held = self.shape(architecture).test
            train, test = Split(x[order[held:]], y[order[held:]]), Split(x[order[:held]], y[order[:held]])
        if self.standardize:
            mean, scale = train.x.mean(0), train.x.std(0, unbiased=False)
            scale = torch.where(scale > 0, scale, torch.ones_like(scale))  # a constant feature becomes zero
            train, test = (Split((part.x - mean) / scale, part.y) for part in (train, test))
        return Data(train, test if len(test.x) else None, self._outputs(self.arrays["y"]))

    def _outputs(self, y: np.ndarray) -> int:
        return y.shape[1] if y.ndim == 2 else self.classes or int(y.max()) + 1

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The checked arrays: float64, labels int64."""
        return _read(self.path, self.classes)


def _read(path: str, classes: int | None) -> dict[str, np.ndarray]:
    where = f"data.path={path}"
    if not path:
        raise ValueError("data=npz needs data.path=FILE.npz, a NumPy archive with arrays x and y")
    if not Path(path).is_file():
        raise ValueError(f"{where}: no such file, expected a .npz archive with arrays x and y")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("x", "y", "x_test", "y_test") if name in archive}
            names = archive.files
    except Exception as error:  # zipfile, numpy and OS errors alike: the file is not what was asked for
        raise ValueError(f"{where}: not a readable .npz archive without pickled objects ({error})") from None
    for name in ("x", "y"):
        if name not in arrays:
            raise ValueError(f"{where}: has no array {name!r}, expected x and y; it has {', '.join(names) or 'none'}")
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise ValueError(f"{where}: has only one of x_test and y_test, expected both or neither")
    checked = {}
    for suffix in ("", "_test") if "x_test" in arrays else ("",):
        x, y = arrays[f"x{suffix}"], arrays[f"y{suffix}"]
        checked[f"x{suffix}"] = _features(where, f"x{suffix}", x)
        checked[f"y{suffix}"] = _targets(where, f"y{suffix}", y, len(x), classes)
    if "x_test" in checked:
        for name in ("x", "y"):
            train, test = checked[name], checked[f"{name}_test"]
            if train.shape[1:] != test.shape[1:] or train.dtype != test.dtype:
                raise ValueError(
                    f"{where}: {name}_test is {test.dtype} with rows of shape {test.shape[1:]}, expected {train.dtype} "
                    f"with rows of shape {train.shape[1:]} as {name}"
                )
        if checked["y"].ndim == 1 and classes is None and checked["y_test"].max() > checked["y"].max():
            raise ValueError(
                f"{where}: y_test has label {checked['y_test'].max()}, expected 0 … {checked['y'].max()} as y; "
                f"give data.classes if y lacks some classes"
            )
    return checked


def _features(where: str, name: str, x: np.ndarray) -> np.ndarray:
    if x.ndim != 2 or not x.size or x.dtype.kind not in "fiu":
        raise ValueError(
            f"{where}: {name} has shape {x.shape} and dtype {x.dtype}, expected real numbers (N, features)"
        )
    return _finite(where, name, x)


def _targets(where: str, name: str, y: np.ndarray, samples: int, classes: int | None) -> np.ndarray:
    if len(y.shape) == 0 or len(y) != samples:
        raise ValueError(f"{where}: {name} has shape {y.shape}, expected {samples} rows as x{name[1:]}")
    if y.ndim == 2 and y.size and y.dtype.kind in "fiu":
        return _finite(where, name, y)
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise ValueError(
            f"{where}: {name} has shape {y.shape} and dtype {y.dtype}, expected real targets (N, outputs) "
            f"or integer labels (N,)"
        )
    if y.min() < 0 or (classes is not None and y.max() >= classes):
        top = "" if classes is None else f" … {classes - 1}"
        raise ValueError(f"{where}: labels in {name} run from {y.min()} to {y.max()}, expected 0{top or ' or more'}")
    return y.astype(np.int64)


def _finite(where: str, name: str, array: np.ndarray) -> np.ndarray:
    array = array.astype(np.float64)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise ValueError(
            f"{where}: {name} has {len(bad)} values that are NaN or infinite, the first at {tuple(map(int, bad[0]))}; "
            f"expected finite numbers"
        )
    return array
