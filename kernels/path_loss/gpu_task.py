"""What is to be evaluated on a GPU, how it is cut, and the launches that do it.

``gpu_layers`` holds the activations of a block of samples on chip; ``gpu_tiled`` takes layers too wide for that in
tiles.  Both leave sums over shares of the samples.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import target
from ..spec import Launch
from ..target import Gpu
from .gpu_layers import layers_kernel
from .gpu_tiled import ends_kernel, mix_kernel, tiled_kernel
from .reference import DEGREE

PRODUCTS = {"3xtf32": "tf32x3", "ieee": "ieee", "tf32": "tf32"}  # what Triton calls our precisions
SUMS = {"mse": "SQUARED", "sse": "SQUARED", "cross_entropy": "CROSS", "error_rate": "ERROR"}  # what kernels keep
SHARES = 8  # of the samples, at most: programs enough for a GPU at 25 points of one pair, few sums to keep
SCRATCH = 60 << 20  # bytes of weights interpolated beforehand, buffers of activations, and ends of a layer, together
TL = {torch.float64: tl.float64, torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}


@dataclass(frozen=True)
class Plan:
    """How a kernel cuts its work: samples, inputs and outputs of a tile, and what compiles it."""

    samples: int
    inputs: int
    outputs: int
    warps: int
    stages: int = 1  # of loads under way; 1 where activations stay on chip
    repeats: int = 1  # how often a product is computed


# Samples of a block and warps, by arithmetic and padded width: what holds the activations without spilling them in the
# loop over the layers, by the ahead-of-time report (python -m kernels.aot).  A width that is missing goes in tiles.
# Rows are shared out 16 to a warp, where products feed each other: more warps would compute the same twice.
LAYERS = {
    "tf32x3": {16: (64, 4), 32: (64, 4), 64: (64, 4)},
    "ieee": {16: (64, 8), 32: (64, 8), 64: (64, 8), 128: (32, 8)},
    "tf32": {16: (64, 4), 32: (64, 4), 64: (64, 4), 128: (128, 8)},
    "float64": {16: (64, 8), 32: (64, 8), 64: (64, 8)},
    "half": {16: (128, 8), 32: (128, 8), 64: (64, 4), 128: (128, 8)},
}
# twice the warps all the same where widths are padded: with masks Triton spills in the loop before 3.9
TWICE = {("sm_80", "tf32x3", 64)} if target.triton_version() < (3, 9) else set()
SHARED = {("tf32", 128): 128 << 10}  # bytes a program takes, where some GPUs have fewer
TILES = {
    "tf32x3": Plan(64, 16, 64, warps=4, stages=3),
    "ieee": Plan(64, 16, 64, warps=8, stages=2),
    "tf32": Plan(64, 32, 64, warps=4, stages=2),
    "float64": Plan(64, 32, 64, warps=8, stages=2),
    "half": Plan(64, 64, 64, warps=4, stages=3),
}


def _padded(width: int) -> int:
    return max(16, triton.next_power_of_2(width))


def _tiles(width: int, tile: int) -> int:
    return triton.cdiv(width, tile) * tile


@functools.lru_cache(maxsize=256)
def constant(values: tuple, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Numbers on a device, sent once: they are what they say, whatever becomes of what they were read from."""
    return torch.tensor(values, dtype=dtype, device=device)


@dataclass(frozen=True)
class Task:
    """Losses to evaluate; tensors are as kernels take them (``spec.aligned``).

    ``weights_b`` and ``biases_b`` are the other ends of ``P`` straight lines, ``logs`` say where curves of rescalings
    lead; without either ``weights`` are those of all points, ``(P, T, d_{i+1}, d_i)``.
    """

    weights: Sequence[Tensor]
    biases: Sequence[Tensor] | None
    weights_b: Sequence[Tensor] | None
    biases_b: Sequence[Tensor] | None
    x: Tensor  # (N, d_0)
    y: Tensor  # (N, d_l), or (N,) int64
    t: Tensor | None  # (T,) or (P, T)
    activation: str
    skip: float
    losses: Sequence[str]
    precision: str
    gpu: Gpu
    rows_of: int | None = None  # samples, where ``x`` and ``y`` are rows of their triangular factor,
    ones: Tensor | None = None  # (N,) and this is its column for the ones, which biases are multiplied with
    logs: Sequence[Tensor] | None = None  # of each hidden unit's factor at t = 1, (P, d_{i+1})

    @cached_property
    def widths(self) -> list[int]:
        """``[d_0, …, d_l]``."""
        return [self.weights[0].shape[-1], *(w.shape[-2] for w in self.weights)]

    @property
    def count(self) -> int:
        """Samples, of which losses are means."""
        return self.rows_of or self.x.shape[0]

    @property
    def curve(self) -> str:
        """What a point's weights are made of: ``"line"``, ``"rescaling"``, or ``"points"`` for nothing but them."""
        return "line" if self.weights_b is not None else "points" if self.logs is None else "rescaling"

    @property
    def ends(self) -> int:
        """Networks that a curve is made of."""
        return 2 if self.curve == "line" else 1

    @property
    def pairs(self) -> int:
        """``P``."""
        return self.weights[0].shape[0]

    @property
    def points(self) -> int:
        """``T``."""
        return self.weights[0].shape[1] if self.t is None else self.t.shape[-1]

    @property
    def single(self) -> bool:
        """Is there but one layer?"""
        return len(self.weights) == 1

    @property
    def arithmetic(self) -> str:
        """What products are done in: a key of ``LAYERS``."""
        return {torch.float64: "float64", torch.float32: self.product}.get(self.x.dtype, "half")

    @property
    def product(self) -> str:
        """The same, as Triton calls it: it heeds it for float32 alone, and has no three passes for AMD's GPUs."""
        three_on_amd = self.precision == "3xtf32" and self.gpu.backend == "hip"
        return "ieee" if three_on_amd or self.x.dtype != torch.float32 else PRODUCTS[self.precision]

    @property
    def sum_dtype(self) -> torch.dtype:
        """Of pre-activations and losses."""
        return torch.float64 if self.x.dtype == torch.float64 else torch.float32

    def skips_to(self, layer: int) -> bool:
        """Does a skip end at a layer's pre-activations, from what goes into the layer before?"""
        odd = layer % 2 == 1 and layer < len(self.weights)
        return odd and self.skip != 0 and self.widths[layer - 1] == self.widths[layer + 1]

    @property
    def skips_last(self) -> bool:
        """Does a skip end at the outputs?"""
        return self.skips_to(len(self.weights) - 1)

    @cached_property
    def plan(self) -> Plan:
        """How the work is cut; ``outputs`` is the padded width of all hidden layers where they are not tiled."""
        held = self.widths[1:] if self.skips_last else self.widths[1:-1]
        width = _padded(max(held, default=1))
        large = SHARED.get((self.arithmetic, width), 0) > self.gpu.shared_bytes
        if width not in LAYERS[self.arithmetic] or large:
            return TILES[self.arithmetic]
        samples, warps = LAYERS[self.arithmetic][width]
        masked = any(w != width for w in self.widths[1:-1])
        repeats = 2 if masked and (self.gpu.name, self.arithmetic, width) in TWICE else 1
        return Plan(samples, min(width, 64), width, repeats * warps, repeats=repeats)

    @property
    def tiled(self) -> bool:
        """Are layers too wide to be held?"""
        return self.plan == TILES[self.arithmetic]

    @property
    def width(self) -> int:
        """Of a row of activations."""
        return _tiles(max(self.widths[1:-1], default=1), self.plan.outputs)

    @property
    def classes(self) -> int:
        """Of a tile of the last layer; all of them where a program's activations are skipped to them."""
        whole = self.skips_last and not self.tiled
        return self.plan.outputs if whole else _padded(min(self.widths[-1], 32))

    @property
    def blocks(self) -> int:
        """Blocks of samples in a share."""
        return triton.cdiv(triton.cdiv(self.x.shape[0], self.plan.samples), SHARES)

    @property
    def shares(self) -> int:
        """Of the samples: by their number alone, so that a pair's bits depend on nothing beside it."""
        return triton.cdiv(self.x.shape[0], self.plan.samples * self.blocks)

    @property
    def kept(self) -> list[str]:
        """The sums that the losses are made of."""
        return [name for name in ("SQUARED", "CROSS", "ERROR") if name in {SUMS[loss] for loss in self.losses}]

    @property
    def keeps_ends(self) -> bool:
        """Is the first layer computed at a curve's ends, kept, and interpolated or multiplied?

        Reading both ends costs two numbers an activation, computing it ``2 d_0`` operations: by the data sheet of an
        H100 (L2 about 5 TB/s) even at 100 inputs in three passes or float64, at 400 in TF32 or bfloat16.
        """
        many = 512 if self.arithmetic in ("tf32", "half") else 128
        fits = not self.single and self._end <= SCRATCH // 3
        return self.t is not None and fits and self.points >= 8 and self.widths[0] >= many

    @property
    def part(self) -> int:
        """Bytes of each kind of scratch."""
        return SCRATCH // (3 if self.keeps_ends else 2)

    @property
    def _end(self) -> int:
        """Bytes of the first pre-activations of a pair at the ends."""
        return self.ends * self.x.shape[0] * self.width * self.sum_dtype.itemsize

    @cached_property
    def mixed(self) -> list[tuple[int, int]]:
        """Rows and columns, padded to tiles, in which each layer's weights are kept where they are mixed beforehand."""
        rows = [_tiles(out, self.plan.outputs) for out in self.widths[1:-1]] + [_tiles(self.widths[-1], self.classes)]
        return [(r, _tiles(into, self.plan.inputs)) for r, into in zip(rows, self.widths[:-1], strict=True)]

    @cached_property
    def starts(self) -> list[int]:
        """Where each layer of an item begins there, and the item's end; three passes keep a number and its rest."""
        copies = 2 if self.arithmetic == "tf32x3" else 1
        return [0, *accumulate(copies * rows * columns for rows, columns in self.mixed)]

    @cached_property
    def _powers(self) -> tuple[list[Tensor | None], list[Tensor | None]]:
        """For each layer the logarithms of what its inputs and its outputs are multiplied with at ``t = 1``."""
        return [None, *(-DEGREE[self.activation] * log for log in self.logs)], [*self.logs, None]

    @cached_property
    def table(self) -> Tensor:
        """What kernels know of the layers, ``(layers, FIELDS)``."""

        def addresses(layers):
            return [0 if layer is None else layer.data_ptr() for layer in layers or [None] * len(self.weights)]

        others = (self.weights_b, self.biases_b) if self.logs is None else self._powers
        ends = map(addresses, (self.weights, others[0], self.biases, others[1]))
        fields = zip(*ends, self.widths[:-1], self.widths[1:], self.starts[:-1], strict=True)
        return constant(tuple(field for layer in fields for field in layer), torch.int64, self.x.device)

    @property
    def arguments(self) -> dict:
        """What all kernels that evaluate networks are told when they run."""
        return {
            "table_ptr": self.table,
            "x_ptr": self.x,
            "ones_ptr": self.ones,
            "y_ptr": self.y,
            "t_ptr": self.t,
            "skip_ptr": constant((float(self.skip),), torch.float64, self.x.device),
            "items": self.pairs * self.points,
            "points": self.points,
            "t_stride": self.points if self.t is not None and self.t.dim() == 2 else 0,
            "samples": self.x.shape[0],
            "layers": len(self.weights),
        }

    @property
    def constants(self) -> dict:
        """What they are compiled for."""
        return {
            "CP": self.classes,
            "BK": self.plan.inputs,
            "ACTIVATION": self.activation,
            "CURVE": self.curve,
            "BIASED": self.biases is not None,
            "SKIP": self.skip != 0,
            "LABELS": not self.y.is_floating_point(),
            "ACC": TL[self.sum_dtype],
            **{name: name in self.kept for name in ("SQUARED", "CROSS")},
        }

    @property
    def held(self) -> dict:
        """And those that hold activations."""
        width = self.plan.outputs
        masked = any(w != width for w in self.widths[1:-1]) or self.widths[0] % self.plan.inputs != 0
        return {"H": width, "MASKED": masked, "SKIP_LAST": self.skips_last, "PRECISION": self.product}

    def launches(self, sums: Tensor) -> Iterator[Launch]:
        """What to launch, in order, on tensors of the task's device.

        Args:
            sums: ``(kept, shares, P T)``, filled with each share's sums of the losses of its samples.

        Yields:
            The launches; they share scratch, so that each must run before the next.
        """
        arguments = self.arguments | {"sums_ptr": sums, "blocks": self.blocks}
        own = {"BN": self.plan.samples, "ENDS": self.keeps_ends, "SINGLE": self.single, "ERROR": "ERROR" in self.kept}
        constants = self.constants | own
        launches = self._tiled if self.tiled else self._layers
        if not self.keeps_ends:
            yield from launches(arguments | {"ends_ptr": None, "pair_first": 0}, constants, 0, self.pairs)
            return
        together = min(self.pairs, self.part // self._end)
        ends = self.scratch(together, self.ends, self.x.shape[0], self.width, dtype=self.sum_dtype)
        for first in range(0, self.pairs, together):
            count = min(together, self.pairs - first)
            arguments |= {"ends_ptr": ends, "pair_first": first}
            yield self._ends(arguments, count)
            yield from launches(arguments, constants, first, count)

    def scratch(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """Room on the task's device."""
        return torch.empty(shape, dtype=dtype, device=self.x.device)

    def _layers(self, arguments, constants, first: int, count: int) -> list[Launch]:
        """Pairs ``first`` … by the kernel that holds their activations."""
        grid = (count * self.points, self.shares)
        arguments = arguments | {"item_first": first * self.points}
        plan, constants = self.plan, constants | self.held
        return [Launch(layers_kernel, grid, arguments, constants, plan.warps, repeats=plan.repeats)]

    def _tiled(self, arguments, constants, first: int, count: int) -> Iterator[Launch]:
        """Pairs ``first`` … by tiles, as many points at once as the scratch has room for.

        Yields:
            For each such part the launches that interpolate its weights, and the one that evaluates it.
        """
        dtype, size = self.x.dtype, self.starts[-1]
        buffer_bytes = 2 * self.plan.samples * self.width * dtype.itemsize
        begin, end = first * self.points, (first + count) * self.points
        together = max(1, min(end - begin, self.part // (size * dtype.itemsize)))
        programs = max(1, min(together * self.shares, 4 * self.gpu.processors, self.part // buffer_bytes))
        arguments = arguments | {
            "mixed_ptr": self.scratch(together, size, dtype=dtype),
            "buffer_ptr": self.scratch(programs, 2, self.plan.samples, self.width, dtype=dtype),
            "shares": self.shares,
            "item_size": size,
            "width": self.width,
        }
        three = self.arithmetic == "tf32x3"
        own = {
            "BO": self.plan.outputs,
            "MASKED": self.widths[0] % self.plan.inputs != 0,
            "THREE": three,
            "PRECISION": "tf32" if three else self.product,
        }
        for item in range(begin, end, together):
            here = min(together, end - item)
            arguments |= {"item_first": item, "items_here": here}
            yield from (self._mix(arguments, layer) for layer in range(len(self.weights)))
            rounds = triton.cdiv(here * self.shares, programs)
            grid = (triton.cdiv(here * self.shares, rounds),)  # as even a load as can be
            yield Launch(tiled_kernel, grid, arguments, constants | own, self.plan.warps, self.plan.stages)

    def _mix(self, arguments, layer: int) -> Launch:
        """Interpolate the weights of a layer at the items that ``arguments`` name."""
        rows, columns = self.mixed[layer]
        tile = self.classes if layer == len(self.weights) - 1 else self.plan.outputs
        names = ("table_ptr", "t_ptr", "mixed_ptr", "item_first", "points", "t_stride", "item_size")
        return Launch(
            mix_kernel,
            (rows // tile, columns // self.plan.inputs, arguments["items_here"]),
            {**{name: arguments[name] for name in names}, "layer": layer},
            {
                "BK": self.plan.inputs,
                "BO": tile,
                "CURVE": self.curve,
                "THREE": self.arithmetic == "tf32x3",
                "ACC": TL[self.sum_dtype],
            },
            num_warps=4,
        )

    def _ends(self, arguments, count: int) -> Launch:
        """The first layer of the pairs that ``arguments`` name, at the ends of their curves."""
        tiles = TILES[self.arithmetic]
        columns = min(self.width, tiles.outputs)
        names = ("table_ptr", "x_ptr", "ones_ptr", "ends_ptr", "pair_first", "samples")
        return Launch(
            ends_kernel,
            (self.ends * count, triton.cdiv(self.x.shape[0], tiles.samples), self.width // columns),
            {**{name: arguments[name] for name in names}, "width": self.width},
            {
                "BK": tiles.inputs,
                "BO": columns,
                "BN": tiles.samples,
                "ENDS": self.ends,
                "BIASED": self.biases is not None,
                "PRECISION": self.product,
                "ACC": TL[self.sum_dtype],
            },
            tiles.warps,
        )
