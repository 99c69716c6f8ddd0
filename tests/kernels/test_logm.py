"""The principal logarithm: hard matrices, matrices that have none, derivatives, every kind of batch."""

import functools
import logging
import math
import warnings

import fifty_digits
import numpy as np
import pytest
import scipy.linalg
import torch
from cases import LOGM, NO_LOG, gaussian, generator, rotation, spd
from mpmath import mp, mpf

import kernels
from kernels import target
from kernels.logm import cpu, reference, tables

SMALL = [name for name, a in LOGM.items() if len(a) <= 9]
IMPLEMENTATIONS = {"tiles": cpu.logm, "reference": lambda a: torch.tensor(reference.logm(a.numpy()))}


def error(given, exact):
    return np.linalg.norm(np.asarray(given, np.float64) - exact) / np.linalg.norm(exact)


@functools.cache
def exact(name):
    """The logarithm to 50 digits and SciPy's error."""
    value = fifty_digits.logm(LOGM[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return value, error(scipy.linalg.logm(LOGM[name]), value)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", SMALL)
def test_hard_matrices(name, implementation):
    value, theirs = exact(name)
    [ours] = IMPLEMENTATIONS[implementation](torch.tensor(LOGM[name])[None])
    assert error(ours, value) <= 10 * theirs + 1e-13, f"{name}, SciPy's error {theirs}"


@pytest.mark.parametrize("name", sorted(LOGM.keys() - SMALL))
def test_the_exponential_of_the_logarithm(name):
    log = kernels.logm(torch.tensor(LOGM[name]))
    assert error(kernels.expm(log), LOGM[name]) <= 1e-13, name
    assert np.abs(np.linalg.eigvals(log.numpy()).imag).max() < np.pi


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 16, 31, 33, 64, 100, 130])
def test_every_order(n):
    """The logarithm of an exponential whose generator turns by less than π, and a positive definite matrix."""
    generator = gaussian(n) if n > 1 else np.array([[-3.0]])
    assert error(kernels.logm(kernels.expm(torch.tensor(generator))), generator) < 1e-12
    if n > 1:
        a = spd(n, 1e3)
        values, vectors = np.linalg.eigh(a)
        assert error(kernels.logm(torch.tensor(a)), (vectors * np.log(values)) @ vectors.T) < 1e-12


def scattered(n, condition, name):
    """Symmetric positive definite, one eigenvalue far below the others, which lie close to each other."""
    q, values = gaussian(n, name=name), generator(name).uniform(0.9, 1.0, n)
    q = np.linalg.qr(q)[0]
    values[0] = 1 / condition
    a = (q * values) @ q.T
    return (a + a.T) / 2


def to_fifty_digits(a):
    """The logarithm of a symmetric matrix; ``fifty_digits`` takes seconds where eigenvalues lie close."""
    with mp.workdps(50):
        values, vectors = mp.eigsy(mp.matrix(a.tolist()))
        log = vectors * mp.diag([mp.log(value) for value in values]) * vectors.T
        return np.array(log.tolist(), np.float64)


@pytest.mark.parametrize("condition", [1e1, 1e4, 1e6, 1e8, 1e10, 1e14])
def test_logarithms_of_positive_definite_matrices(condition):
    """Exactly symmetric, and with their eigenvectors as accurate as through their Schur form."""
    a = [spd(n, condition) for n in (2, 5, 8)] + [scattered(n, condition, f"scattered {n}") for n in (3, 7, 12)]
    for matrix in a:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = to_fifty_digits(matrix)
            theirs = error(scipy.linalg.logm(matrix), value)
        ours = kernels.logm(torch.tensor(matrix))
        assert error(ours, value) <= 10 * theirs + 1e-13, (len(matrix), theirs)
        assert (ours == ours.mT).all() or condition > 1e10  # the last go over their Schur form


@pytest.mark.parametrize("size", [0.1, 1e-3, 1e-8, 1e-14])
def test_logarithms_of_symmetric_matrices_near_the_identity(size):
    """To relative accuracy of the small result."""
    for n in (3, 9, 20):
        a = gaussian(n, size, "symmetric")
        a = np.eye(n) + (a + a.T) / 2
        assert error(kernels.logm(torch.tensor(a)), to_fifty_digits(a)) < 5e-15
    assert (kernels.logm(2 * torch.eye(5)) == math.log(2) * torch.eye(5)).all()


@pytest.mark.parametrize("n", [2, 6, 17])
def test_positive_definite_entries_do_not_know_of_each_other(n):
    """Among general matrices, as many as fill registers and a rest, those that are not definite left to the others."""
    from kernels.logm import symmetric

    conditions = np.logspace(0, 9, 2 * symmetric.GROUP - 3)
    kinds = {
        "definite": [np.diag(np.arange(1.0, n + 1)), *(spd(n, condition) for condition in conditions)],
        "scale": [1e30 * spd(n, 10.0)],
        "general": [scipy.linalg.expm(gaussian(n)), spd(n, 10.0) + np.eye(n, k=1) * 1e-15],
        "none": [-np.eye(n), np.zeros((n, n)), np.ones((n, n)), spd(n, 1e3) - 5 * np.eye(n), np.full((n, n), np.nan)],
    }
    kind, a = zip(*((kind, a) for kind, matrices in kinds.items() for a in matrices), strict=True)
    places = np.random.default_rng(n).permutation(len(a))
    kind, a = np.array(kind)[places], torch.tensor(np.stack(a))[places]
    logs, left = torch.empty_like(a), np.zeros(len(a), np.bool_)
    symmetric.logarithms(0, len(a), a.numpy(), logs.numpy(), left)
    assert (left == (kind != "definite")).all()
    together = kernels.logm(a, check=False)
    assert (together.isnan().flatten(1).any(1).numpy() == (kind == "none")).all()
    assert (together[~left] == logs[~left]).all()
    for k, matrix in enumerate(a):
        torch.testing.assert_close(together[k], kernels.logm(matrix, check=False), rtol=0, atol=0, equal_nan=True)
        if kind[k] != "none":
            assert error(kernels.expm(together[k]), matrix.numpy()) < 1e-12


@pytest.mark.parametrize("name", ["rotation-1", "spd-100", "grcar", "near-identity-0.001", "exponential", "jordan"])
def test_single_precision(name):
    a = torch.tensor(LOGM[name], dtype=torch.float32)
    value = fifty_digits.logm(a.double().numpy())
    assert kernels.logm(a).dtype == torch.float32
    assert error(kernels.logm(a), value) < 1e-7  # of the matrix as it is in float32, rounded once


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", NO_LOG)
def test_no_principal_logarithm(name, implementation):
    a = torch.tensor(NO_LOG[name])
    good = torch.eye(len(a), dtype=a.dtype)
    out = IMPLEMENTATIONS[implementation](torch.stack([good, a, 2 * good]))
    assert (out[0] == 0).all() and out[1].isnan().all() and out[2].isfinite().all()


def test_the_entries_without_a_logarithm_are_named():
    good, bad = torch.eye(3), -torch.eye(3)
    batch = torch.stack([good, 2 * good, bad, good]).unflatten(0, (2, 2))
    with pytest.raises(kernels.NoPrincipalLogarithm, match=r"logm: 1 of 4 matrices, at \(1, 0\),") as caught:
        kernels.logm(batch)
    assert caught.value.indices.tolist() == [[1, 0]] and caught.value.indices.dtype == torch.int64
    assert kernels.logm(batch, check=False).isnan().flatten(2).any(2).tolist() == [[False, False], [True, False]]
    with pytest.raises(ValueError, match="logm: the matrix has no real principal logarithm"):
        kernels.logm(bad)
    with pytest.raises(kernels.NoPrincipalLogarithm, match=r"9 of 9 matrices, at \(0,\), \(1,\), .*, …"):
        kernels.logm(bad.expand(9, 3, 3))


def test_entries_do_not_know_of_each_other():
    """Easy ones, one that takes the way over its Schur form, one of another scale, one that has none."""
    a = np.stack([scipy.linalg.expm(gaussian(6)), rotation(6, 1e-5), 1e100 * spd(6, 10.0), -spd(6, 10.0), spd(6, 1e9)])
    together = kernels.logm(torch.tensor(a), check=False)
    for k, matrix in enumerate(a):
        alone = kernels.logm(torch.tensor(matrix), check=False)
        torch.testing.assert_close(together[k], alone, rtol=0, atol=0, equal_nan=True)
    assert together.isnan().flatten(1).all(1).tolist() == [False, False, False, True, False]
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        many = kernels.logm(torch.tensor(a).repeat(30, 1, 1), check=False)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(many, together.repeat(30, 1, 1), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("n", [1, 3, 4, 8, 12])
def test_matrices_side_by_side_are_those_that_stand_alone(n):
    """Different numbers of roots and ways within one register, whole registers of them and a rest."""
    norms = np.random.default_rng(n).permutation(np.logspace(-5, 0.3, 19))
    a = [scipy.linalg.expm(gaussian(n, norm)) for norm in norms] + [1e30 * np.eye(n), -np.eye(n), np.zeros((n, n))]
    a += [spd(n, 1e9), rotation(n, 1e-7)] if n > 1 else []
    together = kernels.logm(torch.tensor(np.stack(a)), check=False)
    for k, matrix in enumerate(a):
        alone = kernels.logm(torch.tensor(matrix), check=False)
        torch.testing.assert_close(together[k], alone, rtol=0, atol=0, equal_nan=True)
        if k < len(norms):
            assert error(together[k], gaussian(n, norms[k])) < 1e-13 / norms[k]
    assert together.isnan().flatten(1).any(1).nonzero()[:, 0].tolist() == [20, 21]


def test_layouts():
    a = torch.tensor(np.stack([scipy.linalg.expm(gaussian(5, norm)) for norm in (0.5, 1.0, 2.0, 1.5)]))
    copy, plain = a.clone(), kernels.logm(a)
    assert (kernels.logm(a.mT) == kernels.logm(a.mT.contiguous())).all()
    assert (kernels.logm(torch._neg_view(-a)) == plain).all()
    assert (kernels.logm(a[::2]) == plain[::2]).all()
    assert (kernels.logm(a.reshape(2, 2, 5, 5)) == plain.reshape(2, 2, 5, 5)).all()
    assert (kernels.logm(a[0].expand(4, 2, 5, 5)) == plain[0]).all()
    assert (a == copy).all()
    for shape in ((0, 3, 3), (2, 0, 4, 4), (0, 0), (3, 0, 0)):
        assert kernels.logm(torch.zeros(shape)).shape == shape


def test_more_entries_than_32_bits_count(tmp_path):
    """The last matrices of a batch of 2³¹ numbers, in files without content."""
    from kernels.logm import tiles

    batch = 2**31 // 64 + 2
    a, out = (np.memmap(tmp_path / name, np.float64, "w+", shape=(batch, 8, 8)) for name in "ab")
    a[-1] = 2 * np.eye(8)
    tiles.logarithms(batch - 2, batch, np.asarray(a), np.asarray(out))
    np.testing.assert_allclose(out[-1], math.log(2) * np.eye(8), rtol=1e-15, atol=1e-15)
    assert np.isnan(out[-2]).all()  # zero


def test_derivatives():
    a = kernels.expm(torch.tensor(np.stack([gaussian(3), gaussian(3, 2.0)]))).requires_grad_()
    assert torch.autograd.gradcheck(kernels.logm, (a,))
    assert torch.autograd.gradgradcheck(kernels.logm, (a,))


def test_derivatives_forwards():
    a = kernels.expm(torch.tensor(np.stack([gaussian(3), gaussian(3, 2.0)]))).requires_grad_()
    assert torch.autograd.gradcheck(kernels.logm, (a,), check_forward_ad=True, check_backward_ad=False)
    x, e = torch.tensor(gaussian(5)), torch.tensor(gaussian(5, name="direction"))
    back = torch.func.jvp(lambda m: kernels.logm(kernels.expm(m)), (x,), (e,))[1]
    torch.testing.assert_close(back, e, rtol=1e-12, atol=1e-12)


def test_the_derivative_is_the_inverse_of_the_exponentials():
    """L_log(exp X) L_exp(X) = identity, also where a plane turns by nearly π: there the derivative is large."""
    for x in (gaussian(5), np.pi * 0.999 * np.array([[0, -1, 0.3], [1, 0, 0], [0, 0, 0.1]])):
        x = torch.tensor(x)
        e = torch.tensor(gaussian(len(x), name="direction"))
        _, moved = torch.func.vjp(kernels.logm, kernels.expm(x))
        adjoint = torch.func.vjp(kernels.expm, x)[1]
        back = adjoint(moved(e)[0])[0]
        torch.testing.assert_close(back, e, rtol=1e-9, atol=1e-9)


def test_transforms_of_pytorch():
    a = kernels.expm(torch.tensor(np.stack([gaussian(4), gaussian(4, 2.0), gaussian(4, 0.1)])))
    assert (torch.vmap(kernels.logm)(a) == kernels.logm(a)).all()
    leaf = a.clone().requires_grad_()
    kernels.logm(leaf).square().sum().backward()

    def loss(matrix):
        return kernels.logm(matrix).square().sum()

    torch.testing.assert_close(torch.vmap(torch.func.grad(loss))(a), leaf.grad)
    torch.testing.assert_close(torch.func.grad(lambda b: torch.vmap(loss)(b).sum())(a), leaf.grad)
    compiled = torch.compile(lambda x: loss(2 * x), backend="aot_eager", fullgraph=True)
    ours = a.clone().requires_grad_()
    compiled(ours).backward()
    torch.testing.assert_close(ours.grad, 2 * torch.vmap(torch.func.grad(loss))(2 * a))
    with pytest.raises(kernels.NoPrincipalLogarithm):
        compiled(-a)


def test_without_numba(monkeypatch, caplog):
    a = torch.tensor(LOGM["grcar"])
    ours = kernels.logm(a)
    monkeypatch.setattr(target, "numba_missing", lambda: "numba cannot be imported (a test)")
    target.say_once.cache_clear()
    with caplog.at_level(logging.INFO, "kernels"):
        for _ in range(2):
            torch.testing.assert_close(kernels.logm(a), ours, rtol=1e-13, atol=1e-13)
    assert [record.message for record in caplog.records] == [
        "logm: one matrix after the other in place of the tile kernels: numba cannot be imported (a test)"
    ]


@pytest.mark.parametrize("n", [8, 16, 24, 64, 72])
@pytest.mark.parametrize("pivoting", [True, False])
def test_inverse(n, pivoting):
    """By pivots where a leading minor vanishes, without near the identity."""
    from kernels.logm import inverse

    a = gaussian(n) + (0.0 if pivoting else 3 * np.eye(n))
    if pivoting:
        a[:3, :3] = 0
    given, order = a.copy(), np.zeros(n, np.int64)
    log_det = inverse.invert(given, inverse.spare(n), order, pivoting)
    bound = 1e-14 * np.linalg.cond(a) * np.linalg.norm(np.linalg.inv(a))
    np.testing.assert_allclose(given, np.linalg.inv(a), rtol=0, atol=bound)
    if pivoting:
        assert log_det == pytest.approx(np.linalg.slogdet(a)[1], rel=1e-12)


def test_root_of_a_quasi_triangular_matrix():
    """Blocks of both sizes beside each other, in every combination."""
    from kernels.logm import schur

    sizes = np.array([1, 2, 0, 2, 0, 1, 1, 2, 0])
    t = np.triu(gaussian(9)) + np.diag(np.arange(1.0, 10))
    for i in np.flatnonzero(sizes == 2):
        t[i + 1, i + 1], t[i, i + 1], t[i + 1, i] = t[i, i], 2.0, -3.0 - i
    r = np.zeros((9, 9))
    schur.quasi_root(r, t, sizes)
    np.testing.assert_allclose(r @ r, t, rtol=0, atol=1e-14 * np.linalg.norm(t))
    assert (np.linalg.eigvals(r).real > 0).all()


def test_the_series():
    """2 sinh(x) Σ c_k (4 sinh²(x/2))ᵏ = x, and where its first neglected term is below rounding."""
    with mp.workdps(40):
        x = mpf(1) / 10
        y = 4 * mp.sinh(x / 2) ** 2
        assert abs(2 * mp.sinh(x) * sum(mpf(c) * y**k for k, c in enumerate(tables.SERIES)) / x - 1) < 1e-16
    for reach, powers, groups in tables.DEGREES:
        degree = powers * groups
        following = math.factorial(degree + 1) ** 2 / math.factorial(2 * degree + 3)
        assert following * reach ** (degree + 1) < 2**-53
        assert following * (1.3 * reach) ** (degree + 1) > 2**-53  # not far more cautious than needed


@pytest.mark.parametrize("name", ["rotation-1e-06", "hilbert", "graded-lower"])
def test_what_the_kernel_for_gpus_leaves_goes_another_way(launched, name):
    """Last in this file, whose other tests have compiled that way: the interpreter's process finds it done."""
    value, theirs = exact(name)
    out = launched(kernels.logm, torch.tensor(np.stack([LOGM[name], np.eye(len(LOGM[name]))])))
    assert error(out[0], value) <= 10 * theirs + 1e-13
    assert (out[1] == 0).all()
