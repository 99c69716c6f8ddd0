"""The words of the project as frozen dataclasses; imports nothing of the engine.

Sizes: ``K`` networks or pairs in a stack, ``T`` points of a path, ``N`` samples, ``d_i`` widths, ``l`` weight layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

AXES = ("depth", "width", "activation", "skip", "rescaling", "weight_decay", "seed")
NOT_APPLICABLE = "not applicable"  # how a reason begins that is no failure: there is no such number


def not_applicable(why: str) -> str:
    """The reason of a row for which what is asked is not defined; nothing failed."""
    return f"{NOT_APPLICABLE}: {why}"


@dataclass(frozen=True)
class Architecture:
    """What the shapes and the function of a network follow from, besides the data's own widths."""

    depth: int  # weight layers
    width: int  # units of every hidden layer
    activation: str
    skip: float  # ε of Zhao et al. 2025, section 4.3; 0 for none


@dataclass(frozen=True)
class Minimum:
    """One minimum to find: an architecture, a weight decay and a seed; shared by all rescaling factors."""

    architecture: Architecture
    weight_decay: float
    seed: int

    @property
    def axes(self) -> dict[str, Any]:
        """Axis values by name, without ``rescaling``."""
        return {**vars(self.architecture), "weight_decay": self.weight_decay, "seed": self.seed}


@dataclass(frozen=True)
class Cell:
    """One point of a sweep's grid."""

    minimum: Minimum
    rescaling: float

    @property
    def axes(self) -> dict[str, Any]:
        """Axis values by name."""
        return {**self.minimum.axes, "rescaling": self.rescaling}


@dataclass(frozen=True)
class Block:
    """Minima of one architecture that are found together: the unit of computing, interruption and storage."""

    key: str
    architecture: Architecture
    minima: tuple[Minimum, ...]  # the seeds of one weight decay side by side
    rescalings: tuple[float, ...]

    @property
    def cells(self) -> Iterator[Cell]:
        """The cells whose rows this block holds."""
        return (Cell(minimum, rescaling) for minimum in self.minima for rescaling in self.rescalings)

    def __len__(self) -> int:
        """The number of cells."""
        return len(self.minima) * len(self.rescalings)


@dataclass(frozen=True)
class Pair:
    """Two minima of a block whose connection is measured: where they stand in its stack and how b came about."""

    a: int
    b: int  # equal to a where the second minimum is made from the first
    relation: str
    rescaling: float | None = None
    per_neuron: bool | None = None


@dataclass(frozen=True)
class Weights:
    """A stack of networks: ``layers[i]`` ``(*batch, d_{i+1}, d_i)``, ``biases[i]`` ``(*batch, d_{i+1})`` or None."""

    layers: tuple[Tensor, ...]
    biases: tuple[Tensor, ...] | None = None

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """Layers, then biases."""
        return self.layers + (self.biases or ())

    def map(self, function: Callable[..., Tensor], *others: Weights) -> Weights:
        """Apply ``function`` to each parameter, together with those of stacks of the same form."""
        parameters = [function(*group) for group in zip(self.parameters, *(o.parameters for o in others), strict=True)]
        layers = len(self.layers)
        return Weights(tuple(parameters[:layers]), None if self.biases is None else tuple(parameters[layers:]))

    def __getitem__(self, index) -> Weights:
        """The part of the stack that ``index`` selects along the batch axes."""
        return self.map(lambda parameter: parameter[index])

    def __len__(self) -> int:
        """The first batch axis, ``K``."""
        return self.layers[0].shape[0]

    def squared_norm(self) -> Tensor:
        """Sum of the squares of all parameters, ``(*batch,)``."""
        batch = self.layers[0].dim() - 2
        return sum(parameter.flatten(batch).square().sum(-1) for parameter in self.parameters)

    def distance(self, other: Weights) -> Tensor:
        """Frobenius distance ``(*batch,)``."""
        return self.map(lambda a, b: a - b, other).squared_norm().sqrt()


@dataclass(frozen=True)
class Split:
    """Samples-first: ``x`` ``(N, d_0)``, ``y`` ``(N, d_l)`` floating or ``(N,)`` int64 labels ``0 … d_l - 1``."""

    x: Tensor
    y: Tensor

    def targets(self, outputs: int) -> Tensor:
        """What squared losses compare outputs with, ``(N, outputs)``: ``y``, or one-hot vectors of labels."""
        import torch

        return self.y if self.y.is_floating_point() else torch.nn.functional.one_hot(self.y, outputs).to(self.x)


@dataclass(frozen=True)
class Data:
    """A training and a test set, and what is known of how they were made."""

    train: Split
    test: Split | None
    outputs: int  # d_l: classes, or the width of y
    teacher: Weights | None = None  # (1, …) stack whose outputs are the targets of both splits

    @property
    def splits(self) -> dict[str, Split]:
        """The splits there are, by name."""
        return {"train": self.train} | ({} if self.test is None else {"test": self.test})

    def to(self, device: str, dtype: torch.dtype) -> Data:
        """The same on ``device``; floating arrays as ``dtype``, labels as they are."""

        def move(tensor):
            return tensor.to(device, dtype if tensor.is_floating_point() else None)

        def split(part):
            return part and Split(move(part.x), move(part.y))

        return replace(
            self, train=split(self.train), test=split(self.test), teacher=self.teacher and self.teacher.map(move)
        )
