"""The numerical core: matrix exponential and logarithm, losses along paths, training of stacks of networks.

Triton on GPUs, PyTorch and numba on CPUs; the device of the tensors decides what runs.  Importing compiles nothing.
"""

from .errors import NoPrincipalLogarithm as NoPrincipalLogarithm
from .expm import expm as expm
from .logm import logm as logm
from .logm import polar_log as polar_log
from .path_loss import curve_loss as curve_loss
from .path_loss import network_loss as network_loss
from .path_loss import path_loss as path_loss
from .path_loss import rescaling_loss as rescaling_loss
from .train import Trained as Trained
from .train import train as train
