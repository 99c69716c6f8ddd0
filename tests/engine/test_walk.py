"""Where a path is looked at, and how well its maximum is then known."""

import numpy as np
import pytest
import torch

import kernels
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


def test_the_higher_of_two_nearly_equal_maxima_is_found():
    """The lower one has the highest coarse point."""

    def both(t):
        return bump(0.3, 0.08)(t) + 1.002 * bump(0.725, 0.05)(t)

    assert both(torch.linspace(0, 1, 21, dtype=torch.float64)).argmax() == 6
    _, walked = follow(both, points=21, tolerance=1e-4)
    t, loss = walked.t[0], walked.losses["train"]["mse"][0]
    assert abs(t[loss.argmax()] - 0.725) < 1e-3 and abs(loss.max() - 1.002) <= 1e-4


def test_the_highest_point_of_a_tent_is_bounded():
    t = np.linspace(0, 1, 11)
    for tip in np.linspace(0.1, 0.9, 97):
        assert walk.heights(t, 1 - abs(t - tip)).max() >= 1 - 1e-12, tip


class Lines(Curve):
    """Straight lines between random networks."""

    def __init__(self, ends, data):
        super().__init__(None, range(len(ends[0][0])))
        self.ends, self.data = ends, data

    def loss(self, split, t, names):
        return kernels.path_loss(*self.ends, split.x, split.y, t, activation="tanh", loss=names)

    def take(self, index):
        return Lines([[layer[index] for layer in end] for end in self.ends], self.data)


def test_barriers_of_random_networks_lie_within_their_tolerance_of_a_dense_grid():
    """Large weights, so that lines have several maxima, of networks that are each other's mirrors."""
    draw = torch.Generator().manual_seed(0)
    a = [
        torch.randn(200, o, i, generator=draw, dtype=torch.float64) * 1.5 / i**0.5
        for o, i in ((12, 5), (12, 12), (3, 12))
    ]
    split = Split(*(torch.randn(30, width, generator=draw, dtype=torch.float64) for width in (5, 3)))
    path = Lines((a, [a[0].flip(1), *a[1:]]), split)
    walked = walk.follow(path, Data(split, None, 1), ("mse",), 21, 1e-3, None)
    fine = torch.linspace(0, 1, 2001, dtype=torch.float64)
    (dense,) = path.loss(split, fine, ("mse",))
    several = 0
    for t, loss, exact in zip(walked.t, walked.losses["train"]["mse"], dense.numpy(), strict=True):
        values = walk.excess(fine.numpy(), exact)
        several += ((values[1:-1] > values[:-2]) & (values[1:-1] > values[2:])).sum() > 1
        allowed = walk.tolerance_of(t, loss)
        assert values.max() - walk.excess(t, loss).max() <= allowed <= 1e-3 * abs(values.max()) + 1e-12
    assert several > 10


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
