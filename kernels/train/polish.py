"""A second-order finish: limited-memory BFGS on a stack of networks, each with its own steps.

Gradients come from one call for the whole stack; everything else acts on each network's row alone.  The line search is
bisection to the weak Wolfe conditions, which also works where ReLUs have kinks (Lewis & Overton 2013, algorithm 4.6);
where two values of the function differ by no more than rounding, its slopes decide instead (Hager & Zhang 2005, 1.4).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

MEMORY = 20  # steps that make the quadratic model (Nocedal & Wright 2006, section 7.2: 3 to 20)
DECREASE, CURVATURE = 1e-4, 0.9  # the Wolfe conditions' constants (the same, section 3.1)
TRIALS = 40  # points on a line before a network is given up: bisection has then used up its digits
ROUNDS = 5000  # evaluations at most
HISTORY_BYTES = 2**28  # of the steps of networks that go together


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1)


class _History:
    """The last steps and changes of gradients of each network, in a ring."""

    def __init__(self, networks: Tensor):
        shape = (len(networks), MEMORY, networks.shape[1])
        self.steps, self.changes = networks.new_zeros(shape), networks.new_zeros(shape)
        self.products = networks.new_zeros(shape[:2])  # step · change, 0 where there is none yet
        self.count = torch.zeros(len(networks), dtype=torch.int64, device=networks.device)

    def add(self, at: Tensor, step: Tensor, change: Tensor) -> None:
        """Keep a step of the networks ``at`` if the function curves upwards along it."""
        product = _dot(step, change)
        good = product > torch.finfo(step.dtype).eps * step.norm(dim=1) * change.norm(dim=1)
        at, place = at[good], self.count[at[good]] % MEMORY
        self.steps[at, place], self.changes[at, place], self.products[at, place] = (
            step[good],
            change[good],
            product[good],
        )
        self.count[at] += 1

    def direction(self, slope: Tensor) -> Tensor:
        """Minus the inverse Hessian's model times ``slope``: the two loops of Nocedal (1980)."""
        each = torch.arange(len(slope), device=slope.device)
        ring = [(self.count - 1 - j) % MEMORY for j in range(MEMORY)]  # from the last step back
        inverse = [torch.where(p > 0, 1 / p, 0) for p in (self.products[each, place] for place in ring)]
        q, shares = slope.clone(), []
        for place, rho in zip(ring, inverse, strict=True):
            shares.append(rho * _dot(self.steps[each, place], q))
            q -= shares[-1][:, None] * self.changes[each, place]
        last = self.changes[each, ring[0]]
        scale = self.products[each, ring[0]] / last.square().sum(1)
        q *= torch.where(self.count > 0, scale, 1 / slope.norm(dim=1).clamp(min=1))[:, None]
        for place, rho, share in zip(ring[::-1], inverse[::-1], shares[::-1], strict=True):
            back = rho * _dot(self.changes[each, place], q)
            q += (share - back)[:, None] * self.steps[each, place]
        return -q

    def keep(self, some: Tensor) -> None:
        """Forget the other networks."""
        for name, values in vars(self).items():
            setattr(self, name, values[some])

    def clear(self, some: Tensor) -> None:
        """Start anew where the model gives no descent."""
        self.count[some] = 0
        self.products[some] = 0


Evaluate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def finish(networks: Tensor, decay: Tensor, evaluate: Evaluate) -> tuple[Tensor, Tensor]:
    """Bring networks to gradients near rounding; one with a kink at its minimum stays where no step goes down.

    Args:
        networks: ``(P, M)``, all numbers of each in a row; not modified.
        decay: ``(P,)``, passed on.
        evaluate: from some networks ``(K, M)`` and their decay ``(K,)``, the function ``(K,)`` with the penalty and its
            gradients ``(K, M)``.

    Returns:
        The networks, and the steps each took, ``(P,)`` int64.
    """
    many = max(1, HISTORY_BYTES // (2 * MEMORY * networks[0].nbytes)) if len(networks) else 1
    parts = [_finish(n, d, evaluate) for n, d in zip(networks.split(many), decay.split(many), strict=True)]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _finish(networks: Tensor, decay: Tensor, evaluate: Evaluate) -> tuple[Tensor, Tensor]:
    eps = torch.finfo(networks.dtype).eps
    done, taken = networks.clone(), torch.zeros(len(networks), dtype=torch.int64, device=networks.device)
    which = torch.arange(len(networks), device=networks.device)
    at, history = networks.clone(), _History(networks)
    value, slope = evaluate(at, decay)
    move, fresh = torch.zeros_like(at), torch.ones_like(which, dtype=torch.bool)
    low, high, t, trials = (torch.zeros_like(value) for _ in range(4))
    for _ in range(ROUNDS):
        # a new direction for those that have taken a step
        down = torch.where(fresh[:, None], history.direction(slope), move)
        uphill = fresh & ~(_dot(down, slope) < 0)
        history.clear(uphill)
        move = torch.where(uphill[:, None], -slope, down)
        low, trials, t = (torch.where(fresh, start, v) for start, v in ((0.0, low), (0.0, trials), (1.0, t)))
        high = torch.where(fresh, torch.inf, high)
        small = slope.norm(dim=1) <= 16 * eps * at.norm(dim=1).clamp(min=1)
        over = small | (trials >= TRIALS) | ~value.isfinite()
        if over.any():
            done[which[over]] = at[over]
            left = ~over
            which, at, value, slope, move, low, high, t, trials = (
                v[left] for v in (which, at, value, slope, move, low, high, t, trials)
            )
            history.keep(left)
        if not len(which):
            break
        tried = at + t[:, None] * move
        new_value, new_slope = evaluate(tried, decay[which])
        before, after = _dot(move, slope), _dot(move, new_slope)
        rounding = (new_value - value).abs() <= 8 * eps * value.abs()
        too_far = torch.where(rounding, after > -CURVATURE * before, ~(new_value <= value + DECREASE * t * before))
        too_near = ~too_far & (after < CURVATURE * before)
        fresh = ~too_far & ~too_near
        good = fresh.nonzero()[:, 0]
        history.add(good, (tried - at)[good], (new_slope - slope)[good])
        at, slope = (torch.where(fresh[:, None], new, old) for new, old in ((tried, at), (new_slope, slope)))
        value = torch.where(fresh, new_value, value)
        taken[which] += fresh
        trials = trials + 1
        low, high = torch.where(too_near, t, low), torch.where(too_far, t, high)
        t = torch.where(high.isfinite(), 0.5 * (low + high), 2 * t)
    done[which] = at
    return done, taken
