"""Where Triton kernels run in tests: in the interpreter, in its own process, and on a device where there is one."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch


def moved(value, device):
    """``value``, its tensors on ``device``, through lists, tuples and dictionaries."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: moved(item, device) for key, item in value.items()}
    return type(value)(moved(item, device) for item in value) if isinstance(value, list | tuple) else value


@pytest.fixture(scope="session")
def interpreter():
    """A process whose Triton interprets: it decides so when a kernel is defined, and here others are compiled."""
    import interpreted  # needs Triton

    before = os.environ.get("TRITON_INTERPRET")
    os.environ["TRITON_INTERPRET"] = "1"
    with ProcessPoolExecutor(1, get_context("spawn"), interpreted.start) as pool:
        pool.submit(int).result()  # starts the process, which inherits the environment
        del os.environ["TRITON_INTERPRET"]
        if before is not None:
            os.environ["TRITON_INTERPRET"] = before
        yield pool


@pytest.fixture(params=["interpreter", pytest.param("device", marks=pytest.mark.gpu)])
def launched(request):
    """Calls a module-level function that launches Triton kernels, with CPU tensors in and out."""
    pytest.importorskip("triton")
    if request.param == "interpreter":
        import interpreted

        pool = request.getfixturevalue("interpreter")
        return lambda function, *args, **kwargs: pool.submit(interpreted.call, function, *args, **kwargs).result()
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return lambda function, *args, **kwargs: moved(function(*moved(args, "cuda"), **moved(kwargs, "cuda")), "cpu")
