"""The names that a pickle may ask for, each with a function of our own: what the file names is never imported and never called."""

import math
import re
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workbench.data.untrusted.pickle_source import Raw, RefusalError, Source

CODE = re.compile(r"[<>|=]?([biufcSUO])(\d{1,9})")
SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8, 16), "c": (8, 16, 32), "O": (4, 8)}
LATIN = ("latin1", "latin-1")
DIMENSIONS = 32
LARGEST = 1 << 60
KEY_DEPTH, KEY_PARTS = 16, 8  # Of many small parts, thousands of keys of one and the same hash could be made.
KEY_MOST = 1 << 60  # The hash of a number is its rest modulo 2**61 - 1: larger ones could all have the same.
SCALAR = 1 << 16
LETTER = 0x10FFFF


class Building:
    """An array or dtype between the call that makes it and its state; `value` is None for an array without its state."""

    __slots__ = ("is_done", "kind", "value")

    def __init__(self, kind: str, value: object) -> None:
        self.kind, self.value, self.is_done = kind, value, False


@dataclass(frozen=True)
class Name:
    """An admitted name: its own function for a call, and the type that it is as the default of a `defaultdict`."""

    text: str
    call: Callable[[Source, tuple], object] | None = None
    factory: type | None = None


def _array(source: Source, arguments: tuple) -> Building:
    """`_reconstruct(numpy.ndarray, (0,), b"b")`: an array whose state follows."""
    owner = arguments[0] if arguments else None
    if not isinstance(owner, Name) or owner.text != "numpy.ndarray" or len(arguments) != 3 or arguments[1] != (0,):
        raise RefusalError("the pickle asks for an array in another way than numpy writes it; refused")
    return Building("array", None)


def _dtype(source: Source, arguments: tuple) -> Building:
    """`dtype("f4", False, True)`: one of the plain kinds, by its code."""
    code = _text(arguments[0]) if arguments else None
    match = CODE.fullmatch(code) if isinstance(code, str) else None
    kind, size = (match[1], int(match[2])) if match else ("", 0)
    if match is None or size not in SIZES.get(kind, (size,)) or size * (4 if kind == "U" else 1) > max(source.size, 1 << 16):
        raise RefusalError(f"the pickle asks for the array type {shown(code if code else next(iter(arguments), None))}; refused")
    return Building("dtype", np.dtype("O") if kind == "O" else np.dtype(str(code)))


def set_dtype(building: Building, state: object) -> np.dtype:
    """The dtype with its byte order, from the state (version, order, None, None, None, size, alignment, flags)."""
    dtype = building.value
    assert isinstance(dtype, np.dtype)
    if not isinstance(state, tuple) or len(state) not in (8, 9) or not all(type(part) is int for part in (state[0], *state[5:8])):
        raise RefusalError("the pickle sets the state of an array type in another way than numpy writes it; refused")
    order = _text(state[1])
    if order not in ("<", ">", "=", "|") or any(part is not None for part in state[2:5]):
        raise RefusalError("the pickle asks for an array type with fields or parts; refused")
    if state[5] not in (-1, dtype.itemsize):
        raise RefusalError(f"the pickle asks for the array type {dtype} with {state[5]:,} bytes an item; refused")
    return dtype if dtype.kind == "O" or order == "|" else dtype.newbyteorder(order)


def set_array(source: Source, state: object) -> np.ndarray:
    """An array from its state ([version], shape, dtype, is Fortran order, bytes or list)."""
    if isinstance(state, tuple) and len(state) == 5:
        state = state[1:]
    if not isinstance(state, tuple) or len(state) != 4 or not isinstance(state[1], np.dtype):
        raise RefusalError("the pickle sets the state of an array in another way than numpy writes it; refused")
    shape, dtype, is_fortran, given = state
    order = "F" if is_fortran is True or (type(is_fortran) is int and is_fortran == 1) else "C"
    if dtype.kind != "O":
        return _filled(source, given, dtype, shape, order)
    count = _count(shape, 8)
    if type(given) is not list:
        raise RefusalError("the pickle gives an array of objects as bytes, which would be addresses in memory; refused")
    if len(given) != count:
        raise RefusalError(f"the pickle gives {len(given):,} objects for an array of the shape {shown(shape)}")
    source.build(8 * count)
    return np.fromiter(given, dtype=object, count=count).reshape(shape, order=order)


def _frombuffer(source: Source, arguments: tuple) -> np.ndarray:
    """`_frombuffer(bytes, dtype, shape, order, [axes])`: an array of protocol 5."""
    if len(arguments) not in (4, 5) or not isinstance(arguments[1], np.dtype) or _text(arguments[3]) not in ("C", "F", "K"):
        raise RefusalError("the pickle asks for an array in another way than numpy writes it; refused")
    given, dtype, shape, order = arguments[:4]
    axes = arguments[4] if len(arguments) == 5 else None
    array = _filled(source, given, dtype, shape, "F" if order == "F" else "C")
    if axes is None:
        return array
    if not isinstance(axes, tuple) or not all(type(axis) is int for axis in axes) or sorted(axes) != list(range(array.ndim)):
        raise RefusalError(f"the pickle asks for the axes {shown(axes)} of an array of {array.ndim} dimensions")
    return array.transpose(axes)


def _filled(source: Source, given: object, dtype: np.dtype, shape: object, order: str) -> np.ndarray:
    """An array over a byte string; their sizes must agree."""
    if dtype.kind == "O":
        raise RefusalError("the pickle gives an array of objects as bytes, which would be addresses in memory; refused")
    count = _count(shape, max(dtype.itemsize, 1))
    if not isinstance(given, bytes | bytearray | str | Raw):
        raise RefusalError(f"the pickle fills an array with a {type(given).__name__}")
    if len(given) != count * dtype.itemsize:
        raise RefusalError(f"the pickle gives {len(given):,} bytes for an array of the shape {shown(shape)} and the type {dtype}")
    if dtype.kind == "U" and isinstance(given, Raw):
        source.copy(len(given))  # Its letters are looked at; text is taken out of it later.
    if not len(given):  # Zero items, or items of zero bytes: nothing to lay over the bytes.
        source.build(8 + count)
        return np.zeros(shape, dtype.newbyteorder("="), order=order)  # type: ignore[call-overload]
    array = source.array(given, dtype, count)
    if dtype.kind == "U" and array.view(f"{array.dtype.byteorder}u4").max() > LETTER:
        raise RefusalError(f"the pickle gives an array of the shape {shown(shape)} text with a letter that does not exist; refused")
    return array.reshape(shape, order=order)  # type: ignore[call-overload]


def _count(shape: object, item: int) -> int:
    """The number of items of a shape."""
    if not isinstance(shape, tuple) or len(shape) > DIMENSIONS or not all(type(size) is int and size >= 0 for size in shape):
        raise RefusalError(f"the pickle asks for an array of the shape {shown(shape)}; refused")
    if math.prod(max(size, 1) for size in shape) * item > LARGEST:
        raise RefusalError(f"the pickle asks for an array of the shape {shown(shape)}; refused")
    return math.prod(shape)


def _scalar(source: Source, arguments: tuple) -> object:
    """`scalar(dtype, bytes)`: one number or text of numpy."""
    if len(arguments) != 2 or not isinstance(arguments[0], np.dtype):
        raise RefusalError("the pickle asks for a numpy number in another way than numpy writes it; refused")
    size = arguments[0].itemsize
    if size > SCALAR:
        raise RefusalError(f"the pickle asks for one numpy text of {size:,} bytes, at most {SCALAR:,} are admitted; refused")
    source.copy(size)
    return _filled(source, arguments[1], arguments[0], (1,), "C")[0]


def _encode(source: Source, arguments: tuple) -> bytes:
    """`_codecs.encode(text, "latin1")`: how protocol 2 writes bytes."""
    if len(arguments) != 2 or not isinstance(arguments[0], str) or _text(arguments[1]) not in LATIN:
        raise RefusalError("the pickle asks for _codecs.encode with something else than text and latin1; refused")
    source.copy(len(arguments[0]))
    return arguments[0].encode("latin-1")


def _bytes(source: Source, arguments: tuple) -> bytes:
    if arguments:
        raise RefusalError(f"the pickle asks for bytes of a {type(arguments[0]).__name__}; refused")
    return b""


def _bytearray(source: Source, arguments: tuple) -> bytearray:
    """`bytearray()`, of bytes, or of a text with latin-1."""
    if not arguments:
        return bytearray()
    given = source.value(arguments[0]) if isinstance(arguments[0], Raw) else arguments[0]
    if isinstance(given, str) and len(arguments) == 2 and _text(arguments[1]) in LATIN:
        given = _encode(source, (given, "latin1"))
    if not isinstance(given, bytes | bytearray):
        raise RefusalError(f"the pickle asks for a bytearray of a {type(given).__name__}; refused")
    source.copy(len(given))
    return bytearray(given)


def _members(kind: type) -> Callable[[Source, tuple], object]:
    def make(source: Source, arguments: tuple) -> object:
        if len(arguments) != 1 or type(arguments[0]) not in (list, tuple):
            raise RefusalError(f"the pickle asks for a {kind.__name__} of something else than a list; refused")
        source.build(216 + 64 * len(arguments[0]))
        return kind(key(member) for member in arguments[0])

    return make


def _ordered(source: Source, arguments: tuple) -> OrderedDict:
    """`OrderedDict()`, or of a list of pairs."""
    pairs = arguments[0] if len(arguments) == 1 else [] if not arguments else None
    if type(pairs) is not list or not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
        raise RefusalError("the pickle asks for an OrderedDict of something else than pairs; refused")
    source.build(128 + 128 * len(pairs))
    return OrderedDict((key(name), value) for name, value in pairs)


def _default(source: Source, arguments: tuple) -> defaultdict:
    """`defaultdict(type)`, of an admitted type."""
    factory = arguments[0] if len(arguments) == 1 else None
    if len(arguments) > 1 or (factory is not None and (not isinstance(factory, Name) or factory.factory is None)):
        raise RefusalError("the pickle asks for a defaultdict of something else than a plain type; refused")
    source.build(128)
    return defaultdict(factory.factory if isinstance(factory, Name) else None)


def _complex(source: Source, arguments: tuple) -> complex:
    if len(arguments) != 2 or not all(type(part) in (int, float) for part in arguments):
        raise RefusalError("the pickle asks for a complex of something else than two numbers; refused")
    return complex(*arguments)


def _text(value: object) -> object:
    """Text as text, bytes too (Python 2 writes either)."""
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else None


def key(value: object) -> object:
    """A value as a key of a dictionary or a member of a set: hashable, small, and none of many with one and the same hash."""
    if type(value) in (str, bytes):
        return value
    waiting, parts = [(value, 0)], 0
    while waiting:
        part, depth = waiting.pop()
        parts += 1
        if parts > KEY_PARTS or depth > KEY_DEPTH:
            raise RefusalError("the pickle has a key with more parts than anyone writes; refused")
        if type(part) in (tuple, frozenset):
            waiting.extend((inner, depth + 1) for inner in part)  # type: ignore[attr-defined]
        elif isinstance(part, int | float | np.integer | np.floating):
            if not (-KEY_MOST < part < KEY_MOST and (part == 0 or abs(part) > 1 / KEY_MOST)) and part == part:
                raise RefusalError("the pickle has a number beyond 2**60 (or below 1 / 2**60) as a key; refused")
        elif not isinstance(part, str | bytes | np.bool_ | None):
            raise RefusalError(f"the pickle has a {type(part).__name__} as a key, which is none of text, numbers and tuples of them; refused")
    return value


def shown(value: object) -> str:
    """A value for an error: at most 80 characters, none that a terminal would act on."""
    if type(value) is tuple and all(type(part) is int for part in value[:8]):
        parts = [f"{part:,}" if abs(part) < 1 << 70 else "..." for part in value[:8]]
        return f"({', '.join(parts)}{', ...' if len(value) > 8 else ''})"
    if not isinstance(value, str):
        return f"a {type(value).__name__}"
    return value[:80].encode("ascii", "backslashreplace").decode().replace("\n", "\\n").replace("\r", "\\r").replace("\x1b", "\\x1b")


_TYPES = {"list": list, "dict": dict, "tuple": tuple, "int": int, "long": int, "float": float, "str": str, "unicode": str, "bool": bool}
_CALLS: dict[str, tuple[Callable[[Source, tuple], object], type]] = {
    "set": (_members(set), set),
    "frozenset": (_members(frozenset), frozenset),
    "bytes": (_bytes, bytes),
    "bytearray": (_bytearray, bytearray),
    "complex": (_complex, complex),
}


def _admitted() -> dict[tuple[str, str], Name]:
    """The list of admitted names, under the module names of Python 2 and 3 and of numpy 1 and 2."""
    names = [("numpy", "ndarray", None, None), ("numpy", "dtype", _dtype, None), ("_codecs", "encode", _encode, None)]
    names += [("collections", "OrderedDict", _ordered, OrderedDict), ("collections", "defaultdict", _default, None)]
    for core in ("numpy.core", "numpy._core"):
        names += [(f"{core}.multiarray", "_reconstruct", _array, None), (f"{core}.multiarray", "scalar", _scalar, None)]
        names += [(f"{core}.numeric", "_frombuffer", _frombuffer, None)]
    for module in ("builtins", "__builtin__"):
        names += [(module, name, None, kind) for name, kind in _TYPES.items()]
        names += [(module, name, call, kind) for name, (call, kind) in _CALLS.items()]
    return {(module, name): Name(f"{module}.{name}", call, factory) for module, name, call, factory in names}


ADMITTED = _admitted()
