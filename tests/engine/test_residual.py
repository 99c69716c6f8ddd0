"""The rank correlation that Open Question 1 is judged by: on rows made up to have one, none, or the opposite."""

import numpy as np
import pyarrow as pa
import pytest

from engine.claim.residual import rank_correlation, scalars, wider


def rows(effect, seeds=20, shapes=6):
    """Two networks of each shape, with 4 and 2 components; steps differ by a factor and by noise of seeds."""
    generator, found = np.random.default_rng(0), []
    for shape in range(shapes):
        for skip, count in ((0.0, 4), (1.0, 2)):
            for seed in range(seeds):
                steps = 100 * 10**shape * count**effect * np.exp(0.1 * generator.normal())
                found.append({
                    "depth": 3,
                    "width": 2 + shape,
                    "skip": skip,
                    "seed": seed,
                    "components": count,
                    "steps": steps,
                })
    return pa.Table.from_pylist(found)


@pytest.mark.parametrize(("effect", "sign"), [(1.0, 1), (-1.0, -1), (0.0, 0)])
def test_the_interval_holds_the_effect(effect, sign):
    rho, low, high = rank_correlation(rows(effect), "steps")
    assert -1 <= low <= high <= 1 and (abs(rho) > 0.5) == (sign != 0)
    assert (low > 0, high < 0) == (sign > 0, sign < 0)


def test_equal_counts_say_nothing():
    table = rows(1.0)
    same = table.set_column(table.schema.get_field_index("components"), "components", pa.array([3] * len(table)))
    assert rank_correlation(same, "steps") is None


def test_counts_are_compared_with_what_is_predicted():
    table = rows(0.0, shapes=1)
    assert wider.find(table).off == 0
    other = table.set_column(table.schema.get_field_index("components"), "components", pa.array([4] * len(table)))
    assert wider.find(other).off == 2
    assert scalars.find(table) is None  # no network of width 1
