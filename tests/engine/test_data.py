"""Data sets: what is drawn, and what is said of the user's own files."""

import numpy as np
import pytest
import stacks
import torch

from engine.data import digits, npz, regression, teacher
from engine.types import Architecture

ARCHITECTURE = Architecture(3, 6, "relu", 0.0)


def test_digits_are_split_and_centred():
    config = digits.Config()
    data, shape = config.draw(ARCHITECTURE, 7, None), config.shape(ARCHITECTURE)
    assert data.train.x.shape == (shape.train, 64) == (1438, 64) and data.test.x.shape == (359, 64)
    torch.testing.assert_close(data.train.x.mean(0), torch.zeros(64, dtype=torch.float64), rtol=0, atol=1e-12)
    assert float(data.train.x.std()) == pytest.approx(1)
    assert set(data.train.y.tolist()) == set(range(10))
    both = torch.cat([data.train.x, data.test.x])
    assert len(torch.unique(both, dim=0)) == 1797  # no image stands in both splits


@pytest.mark.parametrize(
    "config", [digits.Config(), regression.Config(test_samples=3), teacher.Config()], ids=lambda c: c.name
)
def test_the_same_seed_draws_the_same(config):
    net = stacks.network(3, 6, inputs=16, outputs=4)
    one, same, other = (config.draw(ARCHITECTURE, seed, net) for seed in (1, 1, 2))
    assert torch.equal(one.train.x, same.train.x) and torch.equal(one.test.y, same.test.y)
    assert not torch.equal(one.train.x, other.train.x)


def test_regression_is_square_and_of_full_rank():
    data = regression.Config().draw(ARCHITECTURE, 0, None)
    assert data.train.x.shape == data.train.y.shape == (6, 6)
    assert torch.linalg.matrix_rank(data.train.x) == torch.linalg.matrix_rank(data.train.y) == 6


def test_the_teacher_has_no_loss_on_its_own_data():
    net = stacks.network(3, 6, inputs=16, outputs=4)
    data = teacher.Config().draw(ARCHITECTURE, 0, net)
    for split in data.splits.values():
        (loss,) = net.loss(data.teacher, split, ("mse",))
        assert float(loss) < 1e-28 < float(split.y.square().mean())


def arrays(**changed):
    draw = np.random.default_rng(0)
    good = {"x": draw.normal(size=(20, 3)) * 5 + 2, "y": draw.integers(0, 4, 20)}
    return {name: array for name, array in (good | changed).items() if array is not None}


def saved(tmp_path, **changed):
    np.savez(tmp_path / "mine.npz", **arrays(**changed))
    return npz.Config(path=str(tmp_path / "mine.npz"))


def test_own_arrays_are_standardised_by_the_training_split(tmp_path):
    data = saved(tmp_path).draw(ARCHITECTURE, 0, None)
    assert data.train.x.shape == (16, 3) and data.test.x.shape == (4, 3) and data.outputs == 4
    torch.testing.assert_close(data.train.x.mean(0), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(data.train.x.std(0, unbiased=False), torch.ones(3, dtype=torch.float64))


def test_a_given_test_set_is_used(tmp_path):
    given = np.full((2, 3), 2.0)
    data = saved(tmp_path, x_test=given, y_test=np.array([0, 1])).draw(ARCHITECTURE, 0, None)
    assert len(data.train.x) == 20 and data.test.y.tolist() == [0, 1]


X = arrays()["x"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"y": None}, ["no array 'y'", "expected x and y", "it has x"]),
        ({"x": np.where(X > X.max() - 1e-9, np.nan, X)}, ["x has 1 values that are NaN or infinite", "first at ("]),
        ({"y": np.arange(19)}, ["y has shape (19,)", "expected 20 rows as x"]),
        ({"y": np.arange(20) - 3}, ["labels in y run from -3 to 16", "expected 0"]),
        ({"y": arrays()["y"].astype(float)}, ["y has shape (20,) and dtype float64", "integer labels"]),
        ({"x": X[0]}, ["x has shape (3,)", "(N, features)"]),
        ({"x": np.array([["a"] * 3] * 20)}, ["dtype <U1", "real numbers"]),
        ({"x_test": X}, ["only one of x_test and y_test"]),
        ({"x_test": X[:, :2], "y_test": arrays()["y"]}, ["x_test", "(2,)", "(3,)"]),
        ({"x_test": X, "y_test": arrays()["y"] + 9}, ["y_test has label", "data.classes"]),
        ({"x": np.array([{"a": 1}] * 20, dtype=object)}, ["pickled"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_wrong_file_is_named_with_what_was_expected(tmp_path, changed, words):
    config = saved(tmp_path, **changed)
    with pytest.raises(ValueError, match=r"mine\.npz") as refused:
        config.shape(ARCHITECTURE)
    for word in words:
        assert word in str(refused.value)


def test_a_file_that_is_no_archive(tmp_path):
    (tmp_path / "mine.npz").write_text("x, y")
    with pytest.raises(ValueError, match=r"mine\.npz: not a readable \.npz archive"):
        npz.Config(path=str(tmp_path / "mine.npz")).shape(ARCHITECTURE)
