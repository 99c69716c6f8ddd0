"""A batch over threads: every entry once, errors arrive, forked processes work."""

import multiprocessing
import os
import threading

import numpy as np
import pytest
import torch

from kernels.threads import over_batch


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("batch", [0, 1, 7, 1000])
@pytest.mark.parametrize("chunk", [1, 16])
def test_every_entry_once(threads, batch, chunk):
    seen = np.zeros(batch, int)

    def visit(start, stop, step):
        assert stop - start <= chunk
        seen[start:stop] += step

    over_batch(visit, batch, chunk, 3)
    assert (seen == 3).all()


def test_an_error_in_any_thread_arrives(threads):
    def fail(start, stop):
        raise ArithmeticError(f"at {start}")

    with pytest.raises(ArithmeticError, match="at "):
        over_batch(fail, 64, 1)
    over_batch(lambda start, stop: None, 64, 1)  # and the threads still serve


def test_callers_in_two_threads(threads):
    seen = np.zeros((4, 500), int)

    def visit(start, stop, mine):
        mine[start:stop] += 1

    callers = [threading.Thread(target=over_batch, args=(visit, 500, 3, seen[i])) for i in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert (seen == 1).all()


def _in_child(queue):
    seen = np.zeros(100, int)

    def visit(start, stop):
        seen[start:stop] += 1

    over_batch(visit, 100, 1)
    queue.put(bool((seen == 1).all()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_makes_its_own_threads(threads):
    over_batch(lambda start, stop: None, 100, 1)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    assert queue.get(timeout=30)
    child.join(30)
