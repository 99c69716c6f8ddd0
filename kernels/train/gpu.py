"""Stacked training on a GPU: some steps of a stack captured once as a CUDA graph, and replayed.

All networks are cut into stacks of one size, which follows from the shape of the networks and the data alone: a batched
product of another size may differ in the last bits, so this is what keeps a network's bits free of what trains beside
it.  A finished network is frozen where it is; now and then those that go on are gathered into as few stacks as hold
them, and the other stacks are replayed no more.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..path_loss.blocks import forward, loss_sums, scale
from .blocks import advance, debias_at, gradients, slopes
from .reference import batches, learning_rate_at

TOGETHER = 16  # steps of a graph: launching one costs the host about 10 µs, whatever is in it
GATHER = 4  # graphs between two looks at which networks go on
LARGEST = 64  # networks of a stack: beyond, small networks take longer
SPECS = ()  # PyTorch operations: no kernel of ours to compile
ACTIVATION_BYTES = 64 << 20  # of a stack; wide networks fill a GPU in smaller stacks


def stack_size(weights: list[Tensor], samples: int) -> int:
    """Networks of a stack: the largest power of two whose activations take no more than ``ACTIVATION_BYTES``."""
    one = samples * sum(w.shape[1] for w in weights) * weights[0].element_size()
    size = LARGEST
    while size > 1 and size * one > ACTIVATION_BYTES:
        size //= 2
    return size


def cut(networks: int, size: int) -> list[Tensor]:
    """Indices of the networks of each stack."""
    return [some for some in torch.arange(networks).split(size) if len(some)]


def filled(networks: Tensor, size: int) -> Tensor:
    """Indices of ``networks``, and the first of them as often as a stack has places left."""
    return torch.cat([networks, networks[:1].expand(size - len(networks))])


@dataclass(frozen=True)
class State:
    """Networks on their way; the first axis of every tensor counts networks."""

    parameters: list[Tensor]
    first: list[Tensor]  # running means or momenta of the gradients
    second: list[Tensor]  # running means of their squares
    taken: Tensor  # int64, steps
    live: Tensor  # bool
    learning_rate: Tensor
    weight_decay: Tensor
    tolerance: Tensor

    def tensors(self) -> list[Tensor]:
        """All of them, in order."""
        values = (getattr(self, field.name) for field in fields(self))
        return [t for value in values for t in (value if isinstance(value, list) else [value])]

    def like(self, size: int) -> State:
        """Room for ``size`` networks."""

        def room(value):
            if isinstance(value, list):
                return [room(v) for v in value]
            return torch.empty(size, *value.shape[1:], dtype=value.dtype, device=value.device)

        return State(*(room(getattr(self, field.name)) for field in fields(self)))


class Stack:
    """``size`` networks at addresses that stay, and the steps that are taken with them."""

    def __init__(self, size: int, everything: State, problem: Problem, capture: bool):
        """Room for ``size`` networks of ``everything``; ``capture`` steps as a CUDA graph."""
        self.size, self.everything, self.problem = size, everything, problem
        self.state = everything.like(size)
        device = self.state.live.device
        self.step = torch.zeros(1, dtype=torch.int64, device=device)
        self.order = torch.zeros(TOGETHER, size, problem.batch_size or 0, dtype=torch.int64, device=device)
        self.networks = torch.zeros(0, dtype=torch.int64)
        self.run = self._captured() if capture else self._steps

    def load(self, networks: Tensor, step: int) -> None:
        """Take in ``networks``, indices into everything; places that are left repeat the first, frozen."""
        self.networks = networks
        places = filled(networks, self.size).to(self.step.device)
        for mine, theirs in zip(self.state.tensors(), self.everything.tensors(), strict=True):
            mine.copy_(theirs[places])
        self.state.live[len(networks) :] = False
        self.step.fill_(step)

    def store(self) -> None:
        """Put the networks back into everything."""
        places = self.networks.to(self.step.device)
        for mine, theirs in zip(self.state.tensors(), self.everything.tensors(), strict=True):
            theirs[places] = mine[: len(places)]

    def _steps(self) -> None:
        for place in range(TOGETHER):
            self.problem.take_step(self.state, self.step, self.order[place])

    def _captured(self):
        # a first step, off the capture, lets libraries make what they make once; `load` writes over what it does
        for tensor in self.state.tensors():
            tensor.zero_()
        with torch.cuda.device(self.step.device):  # whose streams are meant from here on
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self.problem.take_step(self.state, self.step, self.order[0])
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            place = {"stream": _capture_stream(self.step.device), "pool": self.problem.pool}
            with torch.cuda.graph(graph, **place, capture_error_mode="thread_local"):
                self._steps()
        return graph.replay


@functools.cache
def _capture_stream(device: torch.device) -> torch.cuda.Stream:
    """One of the device: PyTorch's own is that of the first device, and cuBLAS keeps a workspace for each stream."""
    return torch.cuda.Stream(device)


class Problem:
    """What is minimised and how; steps of a stack."""

    def __init__(self, layers, x, y, *, optimizer, momentum, steps, batch_size, schedule, activation, skip, loss):
        """Arguments as those of ``train``; ``layers`` is the number of layers."""
        self.layers, self.x, self.y, self.batch_size, self.steps = layers, x, y, batch_size, steps
        self.activation, self.skip, self.loss = activation, skip, loss
        self.advance = functools.partial(advance, optimizer=optimizer, momentum=momentum)
        like = {"dtype": x.dtype, "device": x.device}
        self.rates = torch.tensor([learning_rate_at(step, steps, 1.0, schedule) for step in range(steps)], **like)
        self.debias = torch.tensor([debias_at(step) for step in range(steps)], **like)
        # one for all graphs: they run one after the other, and leave nothing in it
        self.pool = torch.cuda.graph_pool_handle() if x.is_cuda else None

    def take_step(self, state: State, step: Tensor, order: Tensor) -> None:
        """One step, in place, without a word from the host; none after the last of all.

        Args:
            state: the networks of a stack.
            step: ``(1,)`` int64, its number, which is increased.
            order: ``(size, B)``, each network's samples, or ``(size, 0)`` for all of them.
        """
        x, y = (self.x, self.y) if self.batch_size is None else (self.x[order], self.y[order])
        at, within = step.clamp(max=self.steps - 1), step < self.steps

        def value(leaves):
            return self._losses(leaves[: self.layers], leaves[self.layers :], x, y)

        _, found, norm = slopes(value, state.parameters, state.weight_decay)
        if self.batch_size is None:
            state.live.logical_and_(~((norm <= state.tolerance) & within))
        going = state.live & within
        rate, debias = state.learning_rate * self.rates[at], self.debias[at].unbind(1)
        self.advance(state.parameters, found, state.first, state.second, going, rate, debias)
        state.taken.add_(going)
        step.add_(1)

    def _losses(self, weights, biases, x, y) -> Tensor:
        first = x @ weights[0].mT
        if biases:
            first = first + biases[0][:, None]
        z = forward(first, x, weights[1:], biases[1:] or None, self.activation, self.skip)
        return loss_sums(z, y, self.loss) * scale(self.loss, z.shape[1], z.shape[2])


def train(weights, biases, x, y, *, optimizer, learning_rate, momentum, steps, batch_size, schedule, tolerance, seeds,
          activation, skip, loss, weight_decay, capture=None):  # fmt: skip
    """Train the stack; returns weights, biases and the steps each network took.

    ``capture`` is for tests: without it, as on a CPU, the same steps are taken one operation at a time.
    """
    parameters = [p.detach().clone() for p in (*weights, *(biases or []))]
    networks = len(parameters[0])
    everything = State(
        parameters,
        [torch.zeros_like(p) for p in parameters],
        [torch.zeros_like(p) for p in parameters]
        if optimizer == "adam"
        else [p.new_zeros(networks, 0) for p in parameters],
        torch.zeros(networks, dtype=torch.int64, device=x.device),
        torch.ones(networks, dtype=torch.bool, device=x.device),
        learning_rate.contiguous(),
        weight_decay.contiguous(),
        tolerance.contiguous(),
    )
    problem = Problem(
        len(weights), x, y, optimizer=optimizer, momentum=momentum, steps=steps, batch_size=batch_size,
        schedule=schedule, activation=activation, skip=skip, loss=loss,
    )  # fmt: skip
    size = stack_size(weights, batch_size or x.shape[0])
    capture = x.is_cuda if capture is None else capture
    stacks = []
    for some in cut(networks, size):
        stacks.append(Stack(size, everything, problem, capture))
        stacks[-1].load(some, 0)
    for begin in range(0, steps, TOGETHER):
        for stack in stacks:
            if batch_size is not None:
                stack.order.copy_(_orders(problem, seeds[stack.networks], size, begin), non_blocking=True)
            stack.run()
        if batch_size is None and begin // TOGETHER % GATHER == GATHER - 1:
            stacks = _gathered(stacks, begin + TOGETHER)
            if not stacks:
                break
    for stack in stacks:
        stack.store()
    return parameters[: len(weights)], biases and parameters[len(weights) :], everything.taken


def measure(weights, biases, x, y, *, weight_decay, **problem):
    """Losses ``(P,)`` without the penalty and norms ``(P,)`` of the gradients with it, over all samples."""
    size, parts = stack_size(weights, x.shape[0]), [x.new_empty(2, 0)]
    for some in cut(len(weights[0]), size):
        places = filled(some, size).to(x.device)
        stack = [p[places] for p in (*weights, *(biases or []))]
        value, _, norm = gradients(stack, len(weights), x, y, weight_decay=weight_decay[places], **problem)
        parts.append(torch.stack([value, norm])[:, : len(some)])
    return torch.cat(parts, dim=1).unbind()


def _gathered(stacks: list[Stack], step: int) -> list[Stack]:
    """As few of the stacks as hold the networks that are not finished; the others' networks are stored."""
    live = torch.cat([stack.networks[stack.state.live[: len(stack.networks)].cpu()] for stack in stacks])
    if len(live) > (len(stacks) - 1) * stacks[0].size:
        return stacks
    for stack in stacks:
        stack.store()
    parts = live.split(stacks[0].size) if len(live) else ()
    for stack, part in zip(stacks, parts, strict=False):
        stack.load(part, step)
    return stacks[: len(parts)]


def _orders(problem: Problem, seeds: Tensor, size: int, begin: int) -> Tensor:
    """Samples of each network in the steps of a graph, ``(TOGETHER, size, B)``; those after the last step are 0."""
    samples, batch_size = problem.x.shape[0], problem.batch_size
    order = torch.zeros(TOGETHER, size, batch_size, dtype=torch.int64, pin_memory=problem.x.is_cuda)
    distinct, of = seeds.unique(return_inverse=True)
    for place, step in enumerate(range(begin, min(begin + TOGETHER, problem.steps))):
        epoch, batch = divmod(step, samples // batch_size)
        drawn = torch.stack([_batches(samples, batch_size, epoch, seed)[batch] for seed in distinct.tolist()])
        order[place, : len(seeds)] = drawn[of]
    return order


_batches = functools.lru_cache(maxsize=4096)(batches)  # of two epochs of many seeds
