"""Where a path is looked at, and how well its maximum is then known."""

import numpy as np
import pytest
import torch

from engine import walk
from engine.path import Curve
from engine.types import Data, Split

X = torch.zeros(1, 1, dtype=torch.float64)
DATA = Data(Split(X, X), None, 1)


class Known(Curve):
    """Paths whose losses are given functions of t, one for each pair."""

    def __init__(self, *functions):
        super().__init__(None, functions)
        self.asked = []

    def loss(self, split, t, names):
        self.asked.append(t.shape[1])
        return (torch.stack([f(row) for f, row in zip(self.pairs, t, strict=True)]),)

    def take(self, index):
        taken = Known(*(self.pairs[i] for i in index.tolist()))
        taken.asked = self.asked
        return taken


def follow(*functions, points=11, tolerance=1e-3):
    path = Known(*functions)
    return path, walk.follow(path, DATA, ("mse",), points, tolerance, None)


def bump(centre, width):
    return lambda t: torch.exp(-(((t - centre) / width) ** 2))


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-7])
@pytest.mark.parametrize("centre", [0.5, 0.333, 0.07, 0.96])
def test_the_maximum_is_known_to_the_stated_tolerance(centre, tolerance):
    _, walked = follow(bump(centre, 0.15), tolerance=tolerance)
    fine = torch.linspace(0, 1, 200001, dtype=torch.float64)
    values = bump(centre, 0.15)(fine).numpy()
    t, loss = walked.t[0], walked.losses["train"]["mse"][0]
    exact, found = walk.excess(fine.numpy(), values).max(), walk.excess(t, loss).max()
    assert found <= exact + 1e-9  # the fine grid steps over the very top
    # the parabola through three points near the maximum errs by its cubic term: allow it as much again
    assert exact - found <= 2 * tolerance * exact
    assert walk.tolerance_of(t, loss) <= tolerance * exact + 1e-14


def test_a_flat_path_is_not_refined():
    path, walked = follow(lambda t: 0 * t + 0.3)
    assert path.asked == [11] and len(walked.t[0]) == 11


def test_points_depend_on_the_pair_alone():
    functions = [bump(c, 0.1) for c in (0.2, 0.41, 0.77)] + [lambda t: 0 * t, lambda t: t * (1 - t)]
    _, together = follow(*functions)
    for i, function in enumerate(functions):
        _, alone = follow(function)
        assert np.array_equal(together.t[i], alone.t[0])
        assert np.array_equal(together.losses["train"]["mse"][i], alone.losses["train"]["mse"][0])


def test_what_is_not_finite_stays_and_is_not_searched():
    path, walked = follow(lambda t: torch.where(t > 0.45, torch.nan, t))
    assert path.asked == [11] and np.isnan(walked.losses["train"]["mse"][0][5:]).all()
    assert np.isnan(walk.tolerance_of(walked.t[0], walked.losses["train"]["mse"][0]))


def test_t_rises_and_has_no_point_twice():
    _, walked = follow(bump(0.43, 0.1), points=5, tolerance=1e-9)
    assert (np.diff(walked.t[0]) > 0).all() and len(walked.t[0]) > 5
