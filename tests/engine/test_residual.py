"""The rank correlation that Open Question 1 is judged by: on rows made up to have one, none, or the opposite."""

import itertools

import numpy as np
import pyarrow as pa
import pytest

from engine.claim.residual import more_steps, rank_correlation, scalars, wider


def rows(effect, seeds=20, shapes=6, draws=2):
    """Two networks of each shape, with 4 and 2 components; steps differ by a factor and by noise of draws and seeds."""
    generator, found = np.random.default_rng(0), []
    for shape, draw in itertools.product(range(shapes), range(draws)):
        for skip, count in ((0.0, 4), (1.0, 2)):
            for seed in range(seeds):
                steps = 100 * 10 ** (shape + draw) * count**effect * np.exp(0.1 * generator.normal())
                found.append({
                    "depth": 3,
                    "width": 2 + shape,
                    "skip": skip,
                    "draw": draw,
                    "seed": seed,
                    "components": count,
                    "orientation": 1,
                    "steps": steps,
                })
    return pa.Table.from_pylist(found)


def changed(table, column, values):
    return table.set_column(table.schema.get_field_index(column), column, pa.array(values))


@pytest.mark.parametrize(("effect", "sign"), [(1.0, 1), (-1.0, -1), (0.0, 0)])
def test_the_interval_holds_the_effect(effect, sign):
    rho, low, high = rank_correlation(rows(effect), "steps")
    assert -1 <= low <= high <= 1 and (abs(rho) > 0.5) == (sign != 0)
    assert (low > 0, high < 0) == (sign > 0, sign < 0)


def test_equal_counts_say_nothing():
    table = rows(1.0)
    assert rank_correlation(changed(table, "components", [3] * len(table)), "steps") is None


def test_an_effect_in_one_shape_alone_is_not_enough():
    """Shapes are drawn anew, so what one of them does not share is not taken for a law."""
    one, none = rows(1.0)["steps"].to_pylist(), rows(0.0)
    width = none["width"].to_pylist()
    steps = [a if w == 2 else b for a, b, w in zip(one, none["steps"].to_pylist(), width, strict=True)]
    assert rank_correlation(changed(none, "steps", steps), "steps")[1] <= 0


def test_a_seed_that_did_not_arrive_was_slow():
    """Of the networks with more components the slow ones are lost: what the others took would say the opposite."""
    table = rows(0.0)
    count, steps = (table[name].to_pylist() for name in ("components", "steps"))
    middle = {s: sorted(steps[at : at + 20])[4] for at in range(0, len(steps), 20) for s in steps[at : at + 20]}
    lost = [None if c == 4 and s > middle[s] else s for c, s in zip(count, steps, strict=True)]
    assert rank_correlation(changed(table, "steps", lost), "steps")[1] > 0


def test_the_claim_says_what_it_rests_on():
    finding = more_steps.find(rows(1.0))
    assert finding.over == "12 architectures, 20 seeds on 2 draws of the data"
    assert finding.measured > 0 > finding.off


def test_counts_are_compared_with_what_is_predicted():
    table = rows(0.0, shapes=1)
    assert wider.find(table).off == 0
    assert wider.find(changed(table, "components", [4] * len(table))).off == 2
    assert scalars.find(table) is None  # no network of width 1
    assert wider.find(changed(table, "orientation", pa.nulls(len(table), pa.int64()))) is None
