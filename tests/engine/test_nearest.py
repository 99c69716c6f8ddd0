"""Curvature, sagitta and the nearest point of an orbit, on curves that are known."""

import math

import pytest
import torch

from engine import predict
from engine.discovery import members
from engine.nearest import nearest
from engine.network.fully_connected import Network
from engine.types import Weights


def scalars(first, second):
    return Weights((torch.tensor(first, dtype=torch.float64), torch.tensor(second, dtype=torch.float64)))


def test_the_curvature_of_a_circle_is_one_over_its_radius_at_any_speed():
    t = torch.linspace(0.1, 2, 7, dtype=torch.float64)
    radius, phase = 3.0, t**2  # (cos, sin)(t²), not at constant speed
    cos, sin = phase.cos(), phase.sin()
    first = Weights(((-2 * t * sin * radius)[:, None, None], (2 * t * cos * radius)[:, None, None]))
    second = Weights((
        ((-2 * sin - 4 * t**2 * cos) * radius)[:, None, None],
        ((2 * cos - 4 * t**2 * sin) * radius)[:, None, None],
    ))
    assert torch.allclose(predict.curvature(first, second), torch.full_like(t, 1 / radius), rtol=1e-12)


def test_the_sagitta_is_that_of_a_circle_and_only_of_its_short_arc():
    chord, half = 0.2, math.asin(0.1)
    bound, reason = predict.sagitta(1.0, chord, 2 * half)
    assert reason is None and abs(bound - (1 - math.cos(half))) <= 1e-15
    # the long arc is as curved, but reaches almost the diameter
    assert predict.sagitta(1.0, chord, 2 * math.pi - 2 * half)[0] is None
    assert "κℓ" in predict.sagitta(1.0, 2.1, 3.0)[1]


@pytest.mark.parametrize("c", [2.5, 10.0, 100.0])
def test_the_nearest_point_of_a_hyperbola(c):
    """Of ``w_2 w_1 = 1`` the points nearest to ``(c, c)``, ``c > 2``, have ``w_1 + w_2 = c``: Prop. 5.5 for scalars."""
    network = Network((1, 1, 1), "linear", 0.0, False, "sse")
    group = members("symmetry")["linear"].Group(network)
    start, target = scalars([[[0.9]]], [[[1 / 0.9]]]), scalars([[[c]]], [[[c]]])
    point, distance = nearest(group, start, target)
    expected = predict.chord_distance(
        torch.tensor(c + math.sqrt(c**2 - 1), dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    )
    assert abs(float(distance) / math.sqrt(c**2 - 2) - 1) <= 1e-9 and abs(float(expected) / float(distance) - 1) <= 1e-9
    one, two = (float(layer) for layer in point.layers)
    assert abs(one * two - 1) <= 1e-12 and abs(one + two - c) <= 1e-3 * c
    assert float(start.distance(target)) > 1.01 * float(distance)
