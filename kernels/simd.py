"""Register tiles for numba: CPU kernels as ordinary ``@njit`` code; the only file that knows LLVM.

A ``Tile`` is an immutable block of ``rows x cols`` SIMD registers of ``lanes`` numbers each.  Operators and numpy
functions act on it as on a small array: elementwise, with broadcasting over rows and columns and of plain numbers.
Shapes belong to the type, so loops over registers are unrolled while the code is built and accumulators stay in
registers, provided that every function that passes tiles is ``@inline`` (``jit.py``).  Array sizes are run-time values.

    zero = tile(0.0, 8, 2)                     # 8 rows of 2 registers
    for k in range(A.shape[1]):                # zero + A[i : i+8, :] @ B[:, j : j + 2*lanes]
        zero = fma(column(A, (i, k), zero), row(B, (k, j), zero), zero)
    store(C, (i, j), zero)

NaN, infinities and subnormals behave as in numpy; only ``total`` adds in an order of its own.  Loads and stores check
no bounds, know no negative index, and take the array's last axis as contiguous.  A plain number is rounded to its
tile's dtype.
"""

from __future__ import annotations

import functools
import itertools
import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, overload, register_model

from . import target

REGISTER_BYTES = target.register_bytes()
ROWS, COLS = target.product_tile()
LONG = target.long_tile()  # columns
LANES32, LANES64 = REGISTER_BYTES // 4, REGISTER_BYTES // 8

I32, I64, F32, F64 = ir.IntType(32), ir.IntType(64), ir.FloatType(), ir.DoubleType()
TWIN = {types.float32: types.int32, types.float64: types.int64, types.int32: types.float32, types.int64: types.float64}
IR_TWIN = {F32: I32, F64: I64, I32: F32, I64: F64}


class Tile(types.Type):
    """rows x cols registers of ``lanes`` numbers each; masks have dtype boolean."""

    def __init__(self, dtype: types.Type, lanes: int, rows: int, cols: int):
        self.dtype, self.lanes, self.rows, self.cols = dtype, lanes, rows, cols
        super().__init__(f"Tile({dtype} x {lanes}, {rows}, {cols})")

    def but(self, dtype=None, rows=None, cols=None) -> Tile:
        """This type with some of its parts replaced."""
        return Tile(dtype or self.dtype, self.lanes, rows or self.rows, cols or self.cols)


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, manager, tile):
        register = ir.VectorType(manager.lookup(tile.dtype).get_value_type(), tile.lanes)
        super().__init__(manager, tile, ir.ArrayType(register, tile.rows * tile.cols))


def _splat(builder, scalar, lanes):
    nothing = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    return builder.shuffle_vector(builder.insert_element(nothing, scalar, I32(0)), nothing, first)


def _unpack(context, builder, kind, value, shape):
    """The registers of an operand spread over ``shape``, row by row; a number is first converted to its dtype."""
    if not isinstance(kind, Tile):
        number = _splat(builder, context.cast(builder, value, kind, shape.dtype), shape.lanes)
        return [number] * (shape.rows * shape.cols)
    return [
        builder.extract_value(value, (row % kind.rows) * kind.cols + col % kind.cols)
        for row in range(shape.rows)
        for col in range(shape.cols)
    ]


def _pack(context, builder, tile, registers):
    value = ir.Constant(context.get_value_type(tile), ir.Undefined)
    for place, register in enumerate(registers):
        value = builder.insert_value(value, register, place)
    return value


def _llvm(name, builder, *args, result=None, fastmath=()):
    """Call the LLVM intrinsic ``name`` for the vector type of its last argument."""
    vector = args[-1].type
    suffix = f"v{vector.count}" + {F32: "f32", F64: "f64"}.get(vector.element, str(vector.element))
    made = ir.FunctionType(result or vector, [arg.type for arg in args])
    function = cgutils.get_or_insert_function(builder.module, made, f"llvm.{name}.{suffix}")
    return builder.call(function, args, fastmath=fastmath)


# Elementwise operations: registers in, one register out.


def _broadcast(kinds):
    """The tile for a result of operands of these types, or None where they do not fit."""
    tiles = [kind for kind in kinds if isinstance(kind, Tile)]
    rows, cols = max(tile.rows for tile in tiles), max(tile.cols for tile in tiles)
    fits = all(tile.rows in (1, rows) and tile.cols in (1, cols) and tile.lanes == tiles[0].lanes for tile in tiles)
    return tiles[-1].but(rows=rows, cols=cols) if fits else None  # the last: where(mask, a, b) has a's and b's dtype


def _define(function, arity, emit, dtype=lambda same: same):
    """Give ``function`` a meaning on tiles: ``emit(builder, *registers)`` makes a register of the result."""

    class Typing(AbstractTemplate):
        key = function

        def generic(self, args, kws):
            if len(args) == arity and any(isinstance(arg, Tile) for arg in args) and (shape := _broadcast(args)):
                return signature(shape.but(dtype(shape.dtype)), *args)
            return None

    def lower(context, builder, sig, args):
        shape = _broadcast(sig.args)
        operands = [_unpack(context, builder, kind, arg, shape) for kind, arg in zip(sig.args, args, strict=True)]
        registers = [emit(builder, *registers) for registers in zip(*operands, strict=True)]
        return _pack(context, builder, sig.return_type, registers)

    infer_global(function, types.Function(Typing))
    for kinds in itertools.product((Tile, types.Number), repeat=arity):
        if Tile in kinds:
            lower_builtin(function, *kinds)(lower)


def _real(register):
    return register.type.element in (F32, F64)


def _arithmetic(name, real, integer):
    def emit(builder, x, y):
        return getattr(builder, real if _real(x) else integer)(x, y)

    for function in (getattr(operator, name), getattr(operator, "i" + name.rstrip("_"))):
        _define(function, 2, emit)


def _comparison(name, sign):
    def emit(builder, x, y):
        if not _real(x):
            return builder.icmp_signed(sign, x, y)
        return (builder.fcmp_unordered if sign == "!=" else builder.fcmp_ordered)(sign, x, y)  # NaN is only unequal

    _define(getattr(operator, name), 2, emit, dtype=lambda _: types.boolean)


for _names in (
    ("add", "fadd", "add"),
    ("sub", "fsub", "sub"),
    ("mul", "fmul", "mul"),
    ("truediv", "fdiv", None),
    ("lshift", None, "shl"),
    ("rshift", None, "ashr"),
    ("and_", None, "and_"),
    ("or_", None, "or_"),
    ("xor", None, "xor"),
):
    _arithmetic(*_names)
for _name, _sign in (("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="), ("eq", "=="), ("ne", "!=")):
    _comparison(_name, _sign)
_define(operator.neg, 1, lambda b, x: b.fneg(x) if _real(x) else b.neg(x))
_define(np.where, 3, lambda b, mask, x, y: b.select(mask, x, y))
_define(abs, 1, lambda b, x: _llvm("fabs", b, x))
_define(np.sqrt, 1, lambda b, x: _llvm("sqrt", b, x))
_define(np.floor, 1, lambda b, x: _llvm("floor", b, x))
_define(np.copysign, 2, lambda b, x, y: _llvm("copysign", b, x, y))
_define(np.maximum, 2, lambda b, x, y: _llvm("maximum", b, x, y, fastmath=("nsz",)))  # a NaN operand wins
_define(np.minimum, 2, lambda b, x, y: _llvm("minimum", b, x, y, fastmath=("nsz",)))


def fma(x, y, z):
    """Multiply and add: x * y + z, rounded once where the machine can (llvm.fma would call libm per lane elsewhere)."""


def bits(x):
    """The same bits read as integers (of floats) or as floats (of integers)."""


_define(fma, 3, lambda b, x, y, z: _llvm("fmuladd", b, x, y, z))
_define(bits, 1, lambda b, x: b.bitcast(x, ir.VectorType(IR_TWIN[x.type.element], x.type.count)), dtype=TWIN.get)


# Making, loading, storing, reducing.


@intrinsic(prefer_literal=True)
def tile(typingctx, number, rows, cols):
    """Make rows x cols registers of one number, whose type is the dtype; rows and cols are constants.

    Raises:
        TypingError: rows or cols is computed.
    """
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(cols, types.IntegerLiteral)):
        raise TypingError("tile: rows and cols must be numbers or global names, not expressions")
    dtype = types.unliteral(number)
    kind = Tile(dtype, REGISTER_BYTES * 8 // dtype.bitwidth, rows.literal_value, cols.literal_value)

    def emit(context, builder, sig, args):
        return _pack(context, builder, kind, _unpack(context, builder, dtype, args[0], kind))

    return kind(dtype, rows, cols), emit


@intrinsic
def spread(typingctx, values, like):
    """``values`` in all rows and columns of a tile shaped as ``like``."""
    kind = values.but(rows=like.rows, cols=like.cols)

    def emit(context, builder, sig, args):
        return _pack(context, builder, kind, _unpack(context, builder, values, args[0], kind))

    return kind(values, like), emit


@overload(len)
def _rows(values):
    if isinstance(values, Tile):
        rows = values.rows
        return lambda values: rows
    return None


@intrinsic
def places(typingctx, like):
    """One row 0, 1, 2, … across the lanes of ``like``'s columns, in its dtype."""
    kind = like.but(rows=1)

    def emit(context, builder, sig, args):
        vector = context.get_value_type(kind).element
        lanes = range(kind.lanes)
        rising = [ir.Constant(vector, [col * kind.lanes + lane for lane in lanes]) for col in range(kind.cols)]
        return _pack(context, builder, kind, rising)

    return kind(like), emit


def _hidden(builder, number):
    """The number, of which LLVM knows nothing."""
    same = ir.FunctionType(number.type, [number.type])
    call = builder.asm(same, "", "=r,0", [number], False)
    call.attributes.add("readnone")
    call.attributes.add("nounwind")
    return call


def _pointers(context, builder, sig, args, shape, apart=False):
    """Pointers to array[..., i + row, j + col * lanes].

    Rows ``apart`` have addresses of their own: LLVM would else compute one from the other at each step of a loop, by
    instructions that take turns with the multiply-adds.  Up to four it writes as multiples of the step in the loads.

    Yields:
        One for each register.
    """
    array, index = context.make_array(sig.args[0])(context, builder, args[0]), args[1]
    index = cgutils.unpack_tuple(builder, index) if isinstance(sig.args[1], types.BaseTuple) else [index]
    down = max(len(index) - 2, 0)  # the axis of rows
    apart = apart and shape.rows > 4 and len(index) > 1 and sig.args[0].layout != "F"
    for row, col in itertools.product(range(shape.rows), range(shape.cols)):
        at = list(index)
        at[down] = builder.add(at[down], at[down].type(row))
        if apart and row > 0:
            at[down] = _hidden(builder, at[down])
        at[-1] = builder.add(at[-1], at[-1].type(col * shape.lanes))
        yield cgutils.get_item_pointer(context, builder, sig.args[0], array, at)


def _loader(load, rows=True, cols=True, apart=False):
    def define(typingctx, array, index, like):
        kind = like.but(array.dtype, rows=None if rows else 1, cols=None if cols else 1)

        def emit(context, builder, sig, args):
            vector, size = context.get_value_type(kind).element, array.dtype.bitwidth // 8
            pointers = _pointers(context, builder, sig, args, kind, apart)
            return _pack(context, builder, kind, [load(builder, pointer, vector, size) for pointer in pointers])

        return kind(array, index, like), emit

    return intrinsic(define)


def _load_vector(builder, pointer, vector, align):
    return builder.load(builder.bitcast(pointer, vector.as_pointer()), align=align)


def _load_splat(builder, pointer, vector, align):
    return _splat(builder, builder.load(pointer, align=align), vector.count)


row = _loader(_load_vector, rows=False)  # row(array, index, like): registers along array[index], for like's columns
block = _loader(_load_vector)  # block(array, index, like): a whole tile shaped as like
# column(array, index, like): a number for each row of like, in all lanes
column = _loader(_load_splat, cols=False, apart=True)


@intrinsic
def store(typingctx, array, index, values):
    """array[index ...] = values."""

    def emit(context, builder, sig, args):
        registers, align = _unpack(context, builder, values, args[2], values), array.dtype.bitwidth // 8
        pointers = _pointers(context, builder, sig, args, values)
        for pointer, register in zip(pointers, registers, strict=True):
            builder.store(register, builder.bitcast(pointer, register.type.as_pointer()), align=align)

    return types.void(array, index, values), emit


@intrinsic
def fetch(typingctx, array, index, like):
    """Ask for array[index ...], a tile shaped as ``like``, to be brought into the cache; memory need not be there."""

    def emit(context, builder, sig, args):
        byte, choice = ir.IntType(8).as_pointer(), (I32(0), I32(2), I32(1))  # to read, to the second level, data
        made = ir.FunctionType(ir.VoidType(), [byte, I32, I32, I32])
        function = cgutils.get_or_insert_function(builder.module, made, "llvm.prefetch.p0")
        for pointer in _pointers(context, builder, sig, args, like):
            builder.call(function, [builder.bitcast(pointer, byte), *choice])

    return types.void(array, index, like), emit


def _combine(name):
    """How two registers become one, for np.add, np.maximum or np.minimum."""
    return lambda builder, x, y: builder.fadd(x, y) if name == "add" else _llvm(name, builder, x, y, fastmath=("nsz",))


@intrinsic
def transpose(typingctx, out, to, array, at):
    """out[to ...] = the square block of as many rows as lanes at array[at ...], transposed."""
    lanes = REGISTER_BYTES * 8 // array.dtype.bitwidth
    square = Tile(array.dtype, lanes, lanes, 1)

    def emit(context, builder, sig, args):
        size, vector = array.dtype.bitwidth // 8, context.get_value_type(square).element
        source, goal = (types.void(*sig.args[2:]), args[2:]), (types.void(*sig.args[:2]), args[:2])
        rows = [_load_vector(builder, p, vector, size) for p in _pointers(context, builder, *source, square)]
        step = 1
        while step < lanes:  # exchange the blocks beside the diagonal of 2 step x 2 step blocks
            low = ir.Constant(ir.VectorType(I32, lanes), [k + (lanes - step) * (k & step != 0) for k in range(lanes)])
            high = ir.Constant(
                ir.VectorType(I32, lanes), [k + (step if k & step == 0 else lanes) for k in range(lanes)]
            )
            for i in range(lanes):
                if not i & step:
                    pair = rows[i], rows[i + step]
                    rows[i], rows[i + step] = (builder.shuffle_vector(*pair, mask) for mask in (low, high))
            step *= 2
        for pointer, register in zip(_pointers(context, builder, *goal, square), rows, strict=True):
            builder.store(register, builder.bitcast(pointer, vector.as_pointer()), align=size)

    return types.void(out, to, array, at), emit


@intrinsic
def over_rows(typingctx, function, values):
    """The rows of registers combined into one by np.add, np.maximum or np.minimum."""
    combine = _combine(function.typing_key.__name__)

    def emit(context, builder, sig, args):
        registers = _unpack(context, builder, values, args[1], values)
        together = functools.partial(combine, builder)
        columns = [functools.reduce(together, registers[col :: values.cols]) for col in range(values.cols)]
        return _pack(context, builder, sig.return_type, columns)

    return values.but(rows=1)(function, values), emit


def _over_lanes(combine, llvm_name, fastmath):
    def define(typingctx, values):
        def emit(context, builder, sig, args):
            registers = _unpack(context, builder, values, args[0], values)
            one = functools.reduce(functools.partial(combine, builder), registers)
            number = one.type.element
            start = [ir.Constant(number, 0.0)] if llvm_name == "vector.reduce.fadd" else []
            return _llvm(llvm_name, builder, *start, one, result=number, fastmath=fastmath)

        return values.dtype(values), emit

    return intrinsic(define)


total = _over_lanes(_combine("add"), "vector.reduce.fadd", ("reassoc",))  # total(tile): the sum of all its numbers
largest = _over_lanes(_combine("maximum"), "vector.reduce.fmaximum", ())  # largest(tile): NaN if any number is
