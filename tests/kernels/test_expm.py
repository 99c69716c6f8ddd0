"""The matrix exponential against SciPy and 50 digits, its curve, its derivatives, in every kind of batch."""

import functools
import logging
import math

import fifty_digits
import numpy as np
import pytest
import scipy.linalg
import torch
from cases import EXPM, gaussian
from mpmath import mp, mpf

import kernels
from kernels import memory, target
from kernels.expm import blocks, cpu, tables

DTYPES = [torch.float64, torch.float32]
MATRICES = {
    **EXPM,
    **{f"norm-{norm:g}": gaussian(7, norm) for norm in (1e-8, 1e-4, 1e-2, 0.3, 1.0, 30.0)},
    "norm-1000-skew": gaussian(5, 500.0) - gaussian(5, 500.0).T,
    "norm-1000-stable": gaussian(6, 300.0) - 700 * np.eye(6),
}
SMALL = [name for name, a in MATRICES.items() if len(a) <= 16]
IMPLEMENTATIONS = {"tiles": cpu.expm, "pytorch": blocks.expm}


def error(given, exact):
    size = np.linalg.norm(exact)
    return np.linalg.norm(np.asarray(given, np.float64) - exact) / (size or 1.0)


@functools.cache
def exact(name, dtype):
    """To 50 digits, of the matrix as it is in this dtype."""
    return fifty_digits.expm(torch.tensor(MATRICES[name], dtype=dtype).double().numpy())


def allowed(a, exact):
    """The bound on the error, from SciPy's."""
    unit = torch.finfo(a.dtype).eps / 2
    with np.errstate(all="ignore"):
        return 10 * error(scipy.linalg.expm(a.numpy()), exact) + 100 * unit * (1 + np.linalg.norm(a, 1))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", SMALL)
def test_hard_matrices(name, dtype, implementation):
    a = torch.tensor(MATRICES[name], dtype=dtype)
    [[ours]] = IMPLEMENTATIONS[implementation](a[None], torch.ones(1, 1, dtype=dtype))
    assert error(ours, exact(name, dtype)) <= allowed(a, exact(name, dtype)), name


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 16, 31, 33, 64, 100, 130])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_order(n, dtype):
    a = torch.tensor(np.stack([gaussian(n, norm) for norm in (1e-3, 1.0, 9.0)]), dtype=dtype)
    exactly = fifty_digits.expm if n < 10 else scipy.linalg.expm  # SciPy's formula for n = 2 loses digits
    expected = [exactly(matrix) for matrix in a.double().numpy()]
    for ours, matrix, theirs in zip(kernels.expm(a), a, expected, strict=True):
        assert error(ours, theirs) <= allowed(matrix, theirs)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_decay(dtype, implementation):
    """Negative numbers of all sizes: where the series cancels most."""
    a = -torch.linspace(0.2, 60, 200, dtype=dtype)
    ours = IMPLEMENTATIONS[implementation](a[:, None, None], torch.ones(1, 1, dtype=dtype)).flatten()
    relative = (ours.double() / a.double().exp() - 1).abs()
    assert (relative <= 100 * torch.finfo(dtype).eps / 2 * (1 - a.double())).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_skew_generator_gives_a_rotation(dtype):
    a = torch.tensor(gaussian(32, 1e3, "skew"), dtype=dtype)
    q = kernels.expm(a - a.mT)
    unit = torch.finfo(dtype).eps / 2
    torch.testing.assert_close(q @ q.mT, torch.eye(32, dtype=dtype), rtol=0, atol=100 * unit * 1e3)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_entries_do_not_know_of_each_other(dtype):
    """A matrix that is squared many times, one that overflows, one that is not finite, among ordinary ones."""
    a = torch.tensor(np.stack([gaussian(6, norm) for norm in (1e-6, 1.0, 100.0, 1.0, 1e-3, 1.0, 1.0)]), dtype=dtype)
    a[3, 2, 1] = math.nan
    a[5] = 1e6 * torch.eye(6, dtype=dtype)
    a[6, 0, 0] = math.inf
    together = kernels.expm(a)
    for k in (0, 1, 2, 4):
        assert together[k].isfinite().all() and (together[k] == kernels.expm(a[k])).all(), k
    for k in (3, 5, 6):
        assert not together[k].isfinite().all(), k
    before = torch.get_num_threads()
    many = a[:3].repeat(50, 1, 1)
    torch.set_num_threads(3)
    try:
        assert (kernels.expm(many) == together[:3].repeat(50, 1, 1)).all()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("n", [1, 3, 4, 7, 8, 12])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_matrices_side_by_side_are_those_that_stand_alone(n, dtype):
    """Every degree, numbers of squarings and scales within one register, whole registers of them and a rest."""
    norms = torch.logspace(-5, 6, 41, dtype=torch.float64)[
        torch.randperm(41, generator=torch.Generator().manual_seed(n))
    ]
    a = (norms[:, None, None] * torch.tensor(gaussian(n, 1.0))).to(dtype)
    a[5], a[11, 0, 0] = 0.0, math.nan
    a[3], a[13] = math.inf, -math.inf  # no norm of a power is NaN, unlike above
    together = kernels.expm(a)
    for k in range(41):
        torch.testing.assert_close(together[k], kernels.expm(a[k]), rtol=0, atol=0, equal_nan=True)
        if norms[k] < 50 and k not in (3, 11, 13):  # against the kernel for larger matrices
            after_another = cpu.expm(a[k : k + 1], torch.ones(1, 2, dtype=dtype))[0, 1]
            bound = 20 * torch.finfo(dtype).eps * (1 + float(torch.linalg.matrix_norm(a[k], 1)))
            assert error(together[k], after_another.double().numpy()) <= bound, norms[k]


def test_far_out_of_range():
    zero, steep = np.array([[-1e200, 0], [0, -1e200]]), np.array([[0.0, 1e200], [0, 0]])
    assert (kernels.expm(torch.tensor(zero)) == 0).all()
    torch.testing.assert_close(
        kernels.expm(torch.tensor(steep)), torch.tensor([[1, 1e200], [0, 1]], dtype=torch.float64)
    )
    tiny = kernels.expm(torch.tensor([[1e150]], dtype=torch.float64), torch.tensor([1e-150], dtype=torch.float64))
    torch.testing.assert_close(tiny.flatten(), torch.tensor([math.e], dtype=torch.float64), rtol=1e-14, atol=0)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_points_of_a_curve(dtype, implementation):
    a = torch.tensor(np.stack([gaussian(7, norm) for norm in (1e-8, 1.0, 30.0)] + [np.zeros((7, 7))]), dtype=dtype)
    t = torch.tensor([0.0, 1.0, 0.3, -2.0, 1e-9], dtype=dtype)
    curve = IMPLEMENTATIONS[implementation](a, t[None])
    assert (curve[:, 0] == torch.eye(7, dtype=dtype)).all()
    for ours, matrix in zip(curve, a, strict=True):
        for point, time in zip(ours, t, strict=True):
            scaled = (time.double() * matrix.double()).numpy()
            expected = scipy.linalg.expm(scaled)
            assert error(point, expected) <= allowed(torch.tensor(scaled).to(dtype), expected)
    assert (kernels.expm(a, t) == cpu.expm(a, t[None])).all()
    every = torch.stack([t, 2 * t, -t, t])  # points of its own for each matrix
    own = IMPLEMENTATIONS[implementation](a, every)
    torch.testing.assert_close(own[1:2], IMPLEMENTATIONS[implementation](a[1:2], 2 * t[None]), rtol=1e-6, atol=1e-6)


def test_layouts():
    a = torch.tensor(np.stack([gaussian(5, norm) for norm in (0.5, 1.0, 3.0, 4.0, 5.0, 6.0)]))
    copy, plain = a.clone(), kernels.expm(a)
    assert (kernels.expm(a.mT) == kernels.expm(a.mT.contiguous())).all()
    assert (kernels.expm(torch._neg_view(-a)) == plain).all()
    assert (kernels.expm(a[::2]) == plain[::2]).all()
    assert (kernels.expm(a.permute(2, 1, 0).contiguous().permute(2, 1, 0)) == plain).all()
    assert (kernels.expm(a.reshape(2, 3, 5, 5)) == plain.reshape(2, 3, 5, 5)).all()
    assert (kernels.expm(a[0].expand(4, 2, 5, 5)) == plain[0]).all()
    assert (a == copy).all()
    t = torch.tensor([0.0, 2.0, 1.0], dtype=torch.float64)
    assert kernels.expm(a.reshape(2, 3, 5, 5), t).shape == (2, 3, 3, 5, 5)
    for shape in ((0, 3, 3), (2, 0, 4, 4), (0, 0), (3, 0, 0)):
        assert kernels.expm(torch.zeros(shape)).shape == shape
    assert kernels.expm(a, t[:0]).shape == (6, 0, 5, 5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_results_begin_a_cache_line(dtype):
    """Small ones and those that come in large pages."""
    for batch in (3, memory.LARGE // (9 * dtype.itemsize) + 1):
        out = memory.empty(batch, 3, 3, dtype=dtype)
        assert (out.shape, out.dtype, out.is_contiguous()) == ((batch, 3, 3), dtype, True)
        assert out.data_ptr() % memory.LINE == 0
        assert out.fill_(2.0).sum() == 18 * batch


def test_large_pages_serve_again_once_nothing_refers_to_them():
    batch = memory.LARGE // 8
    first = memory.empty(batch, 1, 1, dtype=torch.float64)
    place, view = first.data_ptr(), first[1:]
    del first
    view.fill_(3.0)
    others = [memory.empty(batch, 1, 1, dtype=torch.float64).fill_(4.0) for _ in range(2)]
    assert place not in [other.data_ptr() for other in others] and (view == 3.0).all()
    del view
    assert memory.empty(5 * batch, dtype=torch.float64).data_ptr() != place  # too small
    assert memory.empty(batch, dtype=torch.float64).data_ptr() == place


def test_more_entries_than_32_bits_count(tmp_path):
    """The last matrices of a batch of 2³¹ numbers, in files without content."""
    from kernels.expm import tiles

    batch = 2**31 // 64 + 2
    a, out = (np.memmap(tmp_path / name, np.float32, "w+", shape=(batch, 8, 8)) for name in "ab")
    a[-1] = 0.5 * np.eye(8)
    tiles.exponentials(batch - 2, batch, np.asarray(a), np.ones((1, 1), np.float32), np.asarray(out))
    np.testing.assert_allclose(out[-1], math.exp(0.5) * np.eye(8), rtol=1e-6)
    np.testing.assert_array_equal(out[-2], np.eye(8))


@pytest.mark.parametrize(
    ("a", "error_type", "said"),
    [
        (np.eye(3), TypeError, "is a ndarray, expected a tensor"),
        (torch.eye(3, dtype=torch.int64), TypeError, "is torch.int64, expected torch.float32 or torch.float64"),
        (torch.eye(3, dtype=torch.float16), TypeError, "is torch.float16"),
        (torch.zeros(2, 3, 4), ValueError, r"has shape \(2, 3, 4\), expected \(..., n, n\)"),
        (torch.zeros(3), ValueError, r"has shape \(3,\)"),
    ],
)
@pytest.mark.parametrize("function", [kernels.expm, kernels.logm, kernels.polar_log])
def test_what_is_no_batch_of_matrices(function, a, error_type, said):
    with pytest.raises(
        error_type, match=f"{function.__name__}: .*{said}".replace("a is", ". is").replace(" a ", " . ")
    ):
        function(a)


def test_times_that_do_not_fit():
    a = torch.eye(2)
    with pytest.raises(ValueError, match=r"expm: t has shape \(1, 2\), expected \(T,\)"):
        kernels.expm(a, torch.ones(1, 2))
    with pytest.raises(ValueError, match=r"expm: t is torch\.float64 on cpu, expected torch\.float32 on cpu as a"):
        kernels.expm(a, torch.ones(2, dtype=torch.float64))


def test_derivatives():
    a = torch.tensor(np.stack([gaussian(3), gaussian(3, 5.0)]), requires_grad=True)
    t = torch.tensor([0.0, 0.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(kernels.expm, (a, t))
    assert torch.autograd.gradgradcheck(kernels.expm, (a, t))


def test_derivatives_forwards():
    a = torch.tensor(np.stack([gaussian(3), gaussian(3, 5.0)]), requires_grad=True)
    t = torch.tensor([0.0, 0.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(kernels.expm, (a, t), check_forward_ad=True, check_backward_ad=False)
    a, move = a.detach(), torch.tensor(np.stack([gaussian(3, name="direction"), gaussian(3, name="other")]))
    blocks_of = np.block([[a[0].numpy(), move[0].numpy()], [np.zeros((3, 3)), a[0].numpy()]])
    moved = torch.func.jvp(kernels.expm, (a,), (move,))[1]
    assert error(moved[0], fifty_digits.expm(blocks_of)[:3, 3:]) < 1e-13
    one_by_one = torch.vmap(lambda m, d: torch.func.jvp(kernels.expm, (m,), (d,))[1])(a, move)
    torch.testing.assert_close(one_by_one, moved, rtol=1e-13, atol=1e-13)

    def loss(matrix):
        return kernels.expm(matrix).square().sum()

    twice = torch.func.jacrev(torch.func.grad(loss))(a[0])
    torch.testing.assert_close(torch.func.hessian(loss)(a[0]), twice, rtol=1e-10, atol=1e-10)
    with torch.autograd.forward_ad.dual_level():  # of a tensor that asks for no gradient
        dual = torch.autograd.forward_ad.make_dual(a, move)
        assert (torch.autograd.forward_ad.unpack_dual(kernels.expm(dual)).tangent == moved).all()


def test_derivatives_at_all_scales():
    """Against the block-triangular identity to 50 digits, also where the direction is far larger than the matrix."""
    for norm, scale in ((1e-6, 1e9), (1.0, 1e-9), (20.0, 1.0)):
        a, g = gaussian(4, norm), scale * gaussian(4, name="direction")
        given = torch.tensor(a, requires_grad=True)
        kernels.expm(given).backward(torch.tensor(g))
        expected = fifty_digits.expm(np.block([[a.T, g / scale], [np.zeros((4, 4)), a.T]]))[:4, 4:] * scale
        assert error(given.grad.numpy(), expected) < 1e-13


def test_transforms_of_pytorch():
    a = torch.tensor(np.stack([gaussian(4), gaussian(4, 3.0), gaussian(4, 0.1)]))
    t = torch.tensor([[0.5, 1.0], [0.1, 2.0], [0.0, 3.0]], dtype=torch.float64)
    assert (torch.vmap(kernels.expm)(a) == kernels.expm(a)).all()
    mapped = torch.vmap(kernels.expm)(a, t)
    assert all((mapped[k] == kernels.expm(a[k], t[k])).all() for k in range(3))
    assert (torch.vmap(kernels.expm, in_dims=(None, 0))(a, t)[1] == kernels.expm(a, t[1])).all()
    leaf = a.clone().requires_grad_()
    kernels.expm(leaf).square().sum().backward()

    def loss(matrix):
        return kernels.expm(matrix).square().sum()

    torch.testing.assert_close(torch.vmap(torch.func.grad(loss))(a), leaf.grad)
    torch.testing.assert_close(torch.func.grad(lambda b: torch.vmap(loss)(b).sum())(a), leaf.grad)
    assert torch.func.jacrev(torch.func.grad(loss))(a[0]).shape == (4, 4, 4, 4)
    compiled = torch.compile(lambda x: kernels.expm(2 * x, t[0]).square().sum(), backend="aot_eager", fullgraph=True)
    ours, theirs = a.clone().requires_grad_(), a.clone().requires_grad_()
    compiled(ours).backward()
    kernels.expm(2 * theirs, t[0]).square().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_without_numba(monkeypatch, caplog):
    a = torch.tensor(gaussian(5))
    ours = kernels.expm(a)
    monkeypatch.setattr(target, "numba_missing", lambda: "numba cannot be imported (a test)")
    target.say_once.cache_clear()
    with caplog.at_level(logging.INFO, "kernels"):
        for _ in range(2):
            torch.testing.assert_close(kernels.expm(a), ours, rtol=1e-14, atol=1e-14)
    assert [record.message for record in caplog.records] == [
        "expm: PyTorch in place of the tile kernels: numba cannot be imported (a test)"
    ]


def times(p, q):
    return np.array([sum((p[i] * q[k - i] for i in range(k + 1)), mpf(0)) for k in range(len(p))])


def test_the_polynomials_are_taylors():
    with mp.workdps(40):
        taylor = [1 / mpf(math.factorial(k)) for k in range(19)]

        def power(k, degree=18):
            return np.array([mpf(int(i == k)) for i in range(degree + 1)])

        one, x, x2, x3, x6 = (power(k) for k in (0, 1, 2, 3, 6))
        b1, b2, b3, b4, b5 = (
            sum(mpf(c) * p for c, p in zip(given, powers, strict=True))
            for given, powers in (
                (tables.B1, (x, x2, x3)),
                (tables.B2, (x, x2, x3, x6)),
                (tables.B3, (one, x, x2, x3, x6)),
                (tables.B4, (one, x, x2, x3, x6)),
                (tables.B5, (x2, x3, x6)),
            )
        )
        x9 = times(b1, b5) + b4
        for k, c in enumerate(b2 + times(b3 + x9, x9)):
            assert abs(c / taylor[k] - 1) < (1e-14 if k < 10 else 1e-10), k  # entries of 20 digits, rounded
        one, x, x2 = one[:9], x[:9], x2[:9]
        x4 = times(x2, mpf(tables.X1) * x + mpf(tables.X2) * x2)
        right = mpf(tables.X4) * one + mpf(tables.X5) * x + mpf(tables.X6) * x2 + mpf(tables.X7) * x4
        total = one + x + mpf(tables.Y2) * x2 + times(mpf(tables.X3) * x2 + x4, right)
        for k, c in enumerate(total):
            assert abs(c / taylor[k] - 1) < 1e-13, k


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("degree", [4, 8, 18])
def test_how_far_the_polynomials_reach(degree, dtype):
    """With log(exp(-x) T(x)) = Σ c_k x^k the backward error at norm θ is at most Σ |c_k| θ^(k-1): at reach, u."""
    terms, unit = 70, mpf(torch.finfo(dtype).eps) / 2
    with mp.workdps(60):
        down = np.array([mpf(-1) ** k / math.factorial(k) for k in range(terms)])
        up = np.array([1 / mpf(math.factorial(k)) if k <= degree else mpf(0) for k in range(terms)])
        product = times(down, up)  # 1 + p, log by p' / (1 + p)
        logarithm = [mpf(0)] * terms
        for k in range(1, terms):
            inner = sum((j * logarithm[j] * product[k - j] for j in range(1, k)), mpf(0))
            logarithm[k] = product[k] - inner / k
        theta = mpf(tables.REACH[dtype][degree])
        error_there = sum(abs(c) * theta ** (k - 1) for k, c in enumerate(logarithm) if k)
        assert unit * 0.9 < error_there < unit * 1.1
