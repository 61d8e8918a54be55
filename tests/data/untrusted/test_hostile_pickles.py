import os
import pickle
import re
import struct
import subprocess
import sys
from functools import partial
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest

from workbench.data.untrusted.pickles import load_pickle
from workbench.errors import DataError


def load(folder: Path, content: bytes) -> object:
    path = folder / "content.pkl"
    path.write_bytes(content)
    return load_pickle(path)


def text1(text: str) -> bytes:
    """SHORT_BINUNICODE."""
    return b"\x8c" + bytes([len(text)]) + text.encode()


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


DTYPE_STATE = b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


def dtype(code: str) -> bytes:
    """The instructions for a dtype, as numpy writes it in protocol 2."""
    return name("numpy", "dtype") + b"U" + bytes([len(code)]) + code.encode() + b"\x89\x88\x87R" + DTYPE_STATE


OBJECT_DTYPE = name("numpy", "dtype") + b"U\x02O8\x89\x88\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb"
RECONSTRUCT = name("numpy.core.multiarray", "_reconstruct") + name("numpy", "ndarray") + b"K\x00\x85U\x01b\x87R"


def array(shape: bytes, kind: bytes, content: bytes, order: bytes = b"\x89") -> bytes:
    """The instructions for an array: an empty one, then its state."""
    return RECONSTRUCT + b"(K\x01" + shape + kind + order + content + b"tb"


SENTINEL = Path("sentinel_of_a_pickle")


class Calls:
    """Pickles as a call of something."""

    def __init__(self, *reduced: object) -> None:
        self.reduced = reduced

    def __reduce__(self) -> tuple:
        return self.reduced


def stack_global(module: str, attribute: str) -> bytes:
    return b"\x80\x04" + text1(module) + text1(attribute) + b"\x93"


TOUCH = f"touch {SENTINEL}"
PYTHON = f"open('{SENTINEL}', 'w')"
NAMES = [
    ("os", "system"),
    ("posix", "system"),
    ("nt", "system"),
    ("subprocess", "Popen"),
    ("subprocess", "check_output"),
    ("builtins", "eval"),
    ("builtins", "exec"),
    ("builtins", "getattr"),
    ("builtins", "__import__"),
    ("builtins", "open"),
    ("builtins", "object"),
    ("builtins", "memoryview"),
    ("builtins", "range"),
    ("__builtin__", "eval"),
    ("__builtin__", "buffer"),
    ("functools", "partial"),
    ("operator", "attrgetter"),
    ("operator", "methodcaller"),
    ("copyreg", "_reconstructor"),
    ("copy_reg", "_reconstructor"),
    ("copyreg", "__newobj__"),
    ("pathlib", "PosixPath"),
    ("datetime", "datetime"),
    ("numpy", "load"),
    ("numpy", "frombuffer"),
    ("numpy", "fromfile"),
    ("numpy", "memmap"),
    ("numpy", "matrix"),
    ("numpy", "void"),
    ("numpy.core.multiarray", "fromfile"),
    ("numpy.core.multiarray", "frombuffer"),
    ("numpy._core.multiarray", "array"),
    ("numpy.testing._private.utils", "runstring"),
    ("numpy.f2py", "compile"),
    ("numpy.ma.core", "_mareconstruct"),
    ("numpy.rec", "recarray"),
    ("_codecs", "decode"),
    ("_codecs", "lookup"),
    ("collections", "Counter"),
    ("collections", "UserDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch.storage", "_load_from_bytes"),
    ("torch", "FloatStorage"),
    ("pandas.core.frame", "DataFrame"),
    ("scipy.sparse.csr", "csr_matrix"),
    ("workbench.data.batch", "Column"),
    ("joblib.numpy_pickle", "NumpyArrayWrapper"),
    ("numpy", "core.multiarray._reconstruct"),
    ("numpy.core", "multiarray._reconstruct"),
    ("builtins", "list.__class__"),
]


@pytest.mark.parametrize(("module", "attribute"), NAMES)
def test_names_are_refused(tmp_path, monkeypatch, module, attribute):
    monkeypatch.chdir(tmp_path)
    for content in (
        name(module, attribute) + b"U" + bytes([len(TOUCH)]) + TOUCH.encode() + b"\x85R.",
        stack_global(module, attribute) + text1(TOUCH) + b"\x85R.",
        stack_global(module, attribute) + b")\x81.",
        b"]" + name(module, attribute) + b"a.",
    ):
        with pytest.raises(DataError, match=rf"the pickle asks for {module}\.{attribute}, which could run a program; refused") as caught:
            load(tmp_path, content)
        assert "byte" in caught.value.where and "npz" in caught.value.do
    assert not SENTINEL.exists()


def call(function: bytes, *arguments: bytes) -> bytes:
    """The instructions for a call with arguments."""
    return function + b"(" + b"".join(arguments) + b"tR"


def state(*parts: bytes) -> bytes:
    """The instructions that give what is on the stack a state."""
    return b"(" + b"".join(parts) + b"tb"


def count(value: int) -> bytes:
    """A whole number (LONG1)."""
    return b"\x8a\x08" + struct.pack("<q", value)


def long_bytes(size: int) -> bytes:
    return b"B" + struct.pack("<I", size) + bytes(size)


NDARRAY = name("numpy", "ndarray")
ENCODE = name("_codecs", "encode")
BYTEARRAY = name("builtins", "bytearray")
FROZENSET = name("builtins", "frozenset")
DTYPE = name("numpy", "dtype")
SCALAR = name("numpy.core.multiarray", "scalar")
BUFFER = name("numpy.core.numeric", "_frombuffer")
ORDERED = name("collections", "OrderedDict")
DEFAULT = name("collections", "defaultdict")
MINUS = b"J\xff\xff\xff\xff"
I1, A1, SHAPE1 = dtype("i1"), b"C\x01a", b"K\x01\x85"
MINUS_2 = b"J\xfe\xff\xff\xff"
ADDRESS = b"C\x08\x00\x00\x00\x00\xff\xff\xff\x7f"
TEN_GB = 10_000_000_000
OTHER_WAY = "in another way than numpy writes it; refused"
ADDRESSES = "gives an array of objects as bytes, which would be addresses in memory; refused"
TO_RUN = "which could run a program; refused"
PLAIN_NEED = "which plain data does not need; refused"
COPIES = r"copies its text and bytes again and again, beyond \d{2,3},\d\d\d,\d\d\d bytes; refused"
BUILDS = r"builds more containers than its size can explain, beyond \d{2,3},\d\d\d,\d\d\d bytes; refused"

Corpus = dict[str, tuple[bytes, str]]


def programs() -> Corpus:
    """Files that ask for a program."""
    nested = Calls(getattr, (Calls(__import__, ("os",)), "system"))
    return {
        "reduce": (pickle.dumps(Calls(os.system, (TOUCH,)), 2), rf"asks for {os.system.__module__}\.system, {TO_RUN}"),
        "nested reduce": (pickle.dumps(nested, 2), rf"asks for __builtin__\.getattr, {TO_RUN}"),
        "partial": (pickle.dumps(partial(os.system, TOUCH), 4), rf"asks for functools\.partial, {TO_RUN}"),
        "attrgetter": (pickle.dumps(attrgetter("system"), 2), rf"asks for operator\.attrgetter, {TO_RUN}"),
        "in a dictionary": (pickle.dumps({"train": [Calls(eval, (PYTHON,))]}, 4), rf"asks for builtins\.eval, {TO_RUN}"),
        "in an object array": (pickle.dumps(np.array([Calls(exec, (PYTHON,))], dtype=object), 4), rf"asks for builtins\.exec, {TO_RUN}"),
        "a class from the project": (pickle.dumps(DataError("x"), 4), rf"asks for workbench\.errors\.DataError, {TO_RUN}"),
        "inst": (f"(S'{TOUCH}'\nios\nsystem\n.".encode(), rf"an instance of os\.system, {TO_RUN}"),
        "inst of an admitted name": (b"(inumpy\nndarray\n.", rf"an instance of numpy\.ndarray, {TO_RUN}"),
        "obj": (b"(" + name("os", "system") + f"S'{TOUCH}'\no.".encode(), rf"asks for os\.system, {TO_RUN}"),
        "obj of an admitted name": (b"(" + NDARRAY + b"o.", rf"an instance of numpy\.ndarray, {TO_RUN}"),
        "newobj": (name("builtins", "list") + b")\x81.", rf"an instance of builtins\.list, {TO_RUN}"),
        "newobj_ex": (NDARRAY + b")}\x92.", rf"an instance of numpy\.ndarray, {TO_RUN}"),
        "newobj of nothing": (b"N)\x81.", rf"an instance of no admitted name, {TO_RUN}"),
        "ext1": (b"\x82\x07.", f"the registered class 7, {TO_RUN}"),
        "ext2": (b"\x83\x07\x01.", f"the registered class 263, {TO_RUN}"),
        "ext4": (b"\x84\x07\x01\x00\x00.", f"the registered class 263, {TO_RUN}"),
        "persid": (b"Pstorage 1\x1b[2J\n.", r"the object storage 1\\x1b\[2J, which is in another file; refused"),
        "binpersid": (b"U\x01aQ.", "an object that is in another file; refused"),
        "next_buffer": (b"\x97.", "bytes that are in another file; refused"),
        "readonly_buffer": (b"N\x98.", "bytes that are in another file; refused"),
    }


def abuses() -> Corpus:
    """Files that use admitted names for what they are not there for."""
    return {
        "call of a list": (b"](NtR.", "the pickle calls a list with a tuple; refused"),
        "call with a list": (FROZENSET + b"]R.", "the pickle calls a Name with a list; refused"),
        "call of a type": (call(name("builtins", "int"), b"K\x01") + b".", rf"asks to call builtins\.int, {PLAIN_NEED}"),
        "call of ndarray": (call(NDARRAY, count(TEN_GB)) + b".", rf"asks to call numpy\.ndarray, {PLAIN_NEED}"),
        "name that is no text": (b"K\x01U\x01a\x93.", "a name that is no text; refused"),
        "type as data": (b"]" + NDARRAY + b"a.", r"asks for numpy\.ndarray itself, not for data; refused"),
        "function as data": (ENCODE + b".", r"asks for _codecs\.encode itself, not for data; refused"),
        "function in a tuple": (ENCODE + b"\x85.", r"asks for _codecs\.encode itself, not for data; refused"),
        "state of a dictionary": (b"}U\x01aN\x86b.", f"sets the state of a dict, {PLAIN_NEED}"),
        "state of a list": (b"]}b.", f"sets the state of a list, {PLAIN_NEED}"),
        "state without an object": (b"}b.", f"sets the state of a NoneType, {PLAIN_NEED}"),
        "state of a finished array": (array(SHAPE1, I1, A1) + b"}b.", f"sets the state of a ndarray, {PLAIN_NEED}"),
        "state of a remembered array": (RECONSTRUCT + b"q\x00" + state(b"K\x01", SHAPE1, I1, b"\x89", A1) + b"0h\x00}b.", "the state of a ndarray"),
        "state of a finished dtype": (I1 + b"}b.", f"sets the state of a Int8DType, {PLAIN_NEED}"),
        "state of a doubled dtype": (call(DTYPE, b"U\x02i1") + b"2" + DTYPE_STATE + b"0" + DTYPE_STATE + b".", "sets the state of a Building"),
        "dictionary as the state of an array": (RECONSTRUCT + b"}b.", f"the state of an array {OTHER_WAY}"),
        "dictionary as the state of a dtype": (call(DTYPE, b"U\x02f4") + b"}b.", f"the state of an array type {OTHER_WAY}"),
        "list as a key": (b"}]Ns.", "a list as a key, which is none of text, numbers and tuples of them"),
        "dictionary in a set": (b"\x8f(}\x90.", "a dict as a key, which is none of text, numbers and tuples of them"),
        "array as a key": (b"}" + array(SHAPE1, I1, A1) + b"Ns.", "a ndarray as a key, which is none of text, numbers and tuples of them"),
        "deep key": (b"})" + b"\x85" * 100_000 + b"Ns.", "a key with more parts than anyone writes; refused"),
        "exponential key": (b"})" + b"q\x00h\x00\x86" * 1_000 + b"Ns.", "a key with more parts than anyone writes; refused"),
        "set of an array": (call(FROZENSET, array(SHAPE1, I1, A1)) + b".", "a frozenset of something else than a list; refused"),
        "OrderedDict of a number": (call(ORDERED, b"K\x01") + b".", "an OrderedDict of something else than pairs; refused"),
        "OrderedDict of singles": (call(ORDERED, b"](K\x01\x85e") + b".", "an OrderedDict of something else than pairs; refused"),
        "defaultdict of a function": (call(DEFAULT, ENCODE) + b".", "a defaultdict of something else than a plain type; refused"),
        "defaultdict of a number": (call(DEFAULT, b"K\x01") + b".", "a defaultdict of something else than a plain type; refused"),
        "complex of text": (call(name("builtins", "complex"), b"U\x011") + b".", "a complex of something else than two numbers; refused"),
        "encode with another codec": (call(ENCODE, b"U\x01aU\x03hex") + b".", r"_codecs\.encode with something else than text and latin1; refused"),
    }


def arrays() -> Corpus:
    """Arrays whose parts do not fit, or would be addresses in memory."""
    fields = state(b"K\x03U\x01|N(U\x01at}", MINUS, MINUS, b"K\x00")
    large_item = state(b"K\x03U\x01<NNNJ\xff\xff\xff\x7fK\x04K\x00")
    far_letter = b"B" + struct.pack("<I", 1 << 20) + bytes((1 << 20) - 4) + b"\x00\x11\x00\x00"
    overflow = count(0) + count(1 << 61) + count(1 << 61)
    codes = {code: call(DTYPE, b"U" + bytes([len(code)]) + code.encode()) for code in TYPES}
    types = {code: (content + b".", f"asks for the array type {re.escape(code)}; refused") for code, content in codes.items()}
    return types | {
        "dtype with fields": (call(DTYPE, b"U\x02f4") + fields + b".", "an array type with fields or parts; refused"),
        "dtype with another size": (call(DTYPE, b"U\x02f4") + large_item + b".", "array type float32 with 2,147,483,647 bytes an item; refused"),
        "dtype of a list": (call(DTYPE, b"](U\x01aU\x02f4ta") + b".", "asks for the array type a list; refused"),
        "dtype of nothing": (call(DTYPE) + b".", "asks for the array type a NoneType; refused"),
        "addresses as objects": (array(SHAPE1, OBJECT_DTYPE, ADDRESS) + b".", ADDRESSES),
        "addresses in a buffer": (call(BUFFER, ADDRESS, OBJECT_DTYPE, SHAPE1, b"U\x01C") + b".", ADDRESSES),
        "addresses in a scalar": (call(SCALAR, OBJECT_DTYPE, ADDRESS) + b".", ADDRESSES),
        "too few objects": (array(count(TEN_GB) + b"\x85", OBJECT_DTYPE, b"]") + b".", r"0 objects for an array of the shape \(10,000,000,000\)"),
        "array of a list": (call(name("numpy.core.multiarray", "_reconstruct"), name("builtins", "list"), b"K\x00\x85U\x01b") + b".", OTHER_WAY),
        "array of 10 GB": (call(name("numpy.core.multiarray", "_reconstruct"), NDARRAY, count(TEN_GB) + b"\x85U\x01b") + b".", OTHER_WAY),
        "state of 80 GB": (
            array(count(TEN_GB) + b"\x85", dtype("f8"), A1) + b".",
            r"1 bytes for an array of the shape \(10,000,000,000\)",
        ),
        "state of a negative shape": (array(MINUS + b"\x85", I1, A1) + b".", r"an array of the shape \(-1\); refused"),
        "shape that overflows": (
            array(b"(" + overflow + b"t", I1, b"C\x00") + b".",
            r"an array of the shape \(0, 2,305,843,009,.*\); refused",
        ),
        "shape of 33 sizes": (array(b"(" + b"K\x01" * 33 + b"t", I1, A1) + b".", r"an array of the shape \(1, 1, 1, 1, 1, 1, 1, 1, ...\); refused"),
        "shape of text": (array(b"U\x01a\x85", I1, A1) + b".", "an array of the shape a tuple; refused"),
        "array filled with a list": (array(SHAPE1, I1, b"]") + b".", "fills an array with a list"),
        "array without content": (b"]" + RECONSTRUCT + b"a.", "an array that holds itself, or has no content; refused"),
        "array in itself": (RECONSTRUCT + b"q\x00" + state(b"K\x01", SHAPE1, OBJECT_DTYPE, b"\x89]h\x00a") + b".", "an array that holds itself"),
        "buffer in a strange order": (call(BUFFER, A1, I1, SHAPE1, b"U\x01A") + b".", OTHER_WAY),
        "buffer with strange axes": (call(BUFFER, A1, I1, SHAPE1, b"U\x01K", b"K\x05\x85") + b".", r"the axes \(5\) of an array of 1 dimensions"),
        "a letter that does not exist": (
            array(SHAPE1, call(DTYPE, b"U\x02U1") + state(b"K\x03U\x01<NNNK\x04K\x04K\x08"), b"C\x04\xff\xff\xff\x7f") + b".",
            r"an array of the shape \(1\) text with a letter that does not exist; refused",
        ),
        "a letter that does not exist, large": (
            array(b"J\x00\x00\x04\x00\x85", call(DTYPE, b"U\x02U1") + state(b"K\x03U\x01>NNNK\x04K\x04K\x08"), far_letter) + b".",
            r"an array of the shape \(262,144\) text with a letter that does not exist; refused",
        ),
        "scalar of nothing": (call(SCALAR, b"NN") + b".", f"a numpy number {OTHER_WAY}"),
        "scalar of too many bytes": (call(SCALAR, I1, b"C\x02ab") + b".", r"2 bytes for an array of the shape \(1\)"),
    }


def bombs() -> Corpus:
    """Small files that would take much memory; an empty match: read, and still small."""
    laughs = b"](" + b"K\x01" * 10 + b"e" + b"".join(b"q" + bytes([i]) + b"0](" + (b"h" + bytes([i])) * 10 + b"e" for i in range(20))
    text = b"X" + struct.pack("<I", 1 << 21) + b"a" * (1 << 21)
    million, hundred = b"J" + struct.pack("<i", 1_000_000) + b"\x85", b"J" + struct.pack("<i", 100_000) + b"\x85"
    small = b"(" + long_bytes(1_000_000) + b"q\x00" + I1 + b"q\x01" + RECONSTRUCT + b"(K\x01" + million + b"h\x01\x89h\x00tq\x02b"
    objects = b"((" + b"N" * 100_000 + b"lq\x00" + RECONSTRUCT + b"(K\x01" + hundred + OBJECT_DTYPE + b"\x89h\x00tq\x02b"
    members = b"](" + b"".join(b"M" + struct.pack("<H", i) for i in range(20_000)) + b"e\x85q\x01"
    long_text = call(DTYPE, b"U\x08S1048576") + state(b"K\x03U\x01|NNN", b"J" + struct.pack("<i", 1 << 20), b"K\x01K\x00")
    half_text = call(DTYPE, b"U\x06S60000") + state(b"K\x03U\x01|NNN", b"J" + struct.pack("<i", 60_000), b"K\x01K\x00")
    prime = 2**61 - 1
    more = "cut off: it has 15 bytes, and byte 11 asks for 10,000,000,000 more"
    ten = struct.pack("<Q", TEN_GB)
    return {
        "10 GB of bytes": (b"\x80\x04\x8e" + ten + b"abc.", more),
        "10 GB of text": (b"\x80\x04\x8d" + ten + b"abc.", more),
        "10 GB as bytearray": (b"\x80\x05\x96" + ten + b"abc.", more),
        "all the bytes there can be": (b"\x80\x04\x8e" + b"\xff" * 8 + b"abc.", "asks for 18,446,744,073,709,551,615 more"),
        "negative length": (b"T\xff\xff\xff\xffabc.", "the pickle asks for -1 bytes"),
        "bytearray of 10 GB": (call(BYTEARRAY, count(TEN_GB)) + b".", "a bytearray of a int; refused"),
        "bytes of 10 GB": (call(name("builtins", "bytes"), count(TEN_GB)) + b".", "bytes of a int; refused"),
        "huge whole number": (b"\x8b" + struct.pack("<i", 2**31 - 1) + b"abc.", "asks for 2,147,483,647 more"),
        "long whole number": (b"\x8b" + struct.pack("<i", 100_000) + b"\x01" * 100_000 + b".", "a whole number of 100,000 bytes, at most 1,024"),
        "long decimal number": (b"L" + b"9" * 100_000 + b"L\n.", "the pickle is damaged: Exceeds the limit"),
        "memo of 2 billion": (b"]r\xff\xff\xff\x7f.", ""),
        "memo of a trillion": (b"]p999999999999\n.", ""),
        "memo entries": (b"N" + b"p1000000\n" * 10 + b"q\x01" * 20 + b".", ""),
        "marks": (b"(" * 20_000 + b".", "nests more than 10,000 containers at once; refused"),
        "sets": (b"(" + b"\x8f" * 600_000 + b"t.", BUILDS),
        "repeated sets": (b"(" + FROZENSET + b"q\x00" + members + b"h\x00h\x01R" * 100 + b"t.", BUILDS),
        "repeated encode": (b"(" + ENCODE + b"q\x00" + text + b"U\x06latin1\x86q\x020" + b"h\x00h\x02R" * 60 + b"t.", COPIES),
        "repeated bytearray": (b"(" + BYTEARRAY + b"q\x00" + long_bytes(1 << 21) + b"\x85q\x010" + b"h\x00h\x01R" * 60 + b"t.", COPIES),
        "repeated small arrays": (small + (RECONSTRUCT + b"h\x02b") * 100 + b"t.", COPIES),
        "repeated object arrays": (objects + (RECONSTRUCT + b"h\x02b") * 200 + b"t.", BUILDS),
        "repeated OrderedDict": (
            b"(" + ORDERED + b"q\x00](" + b"K\x01N\x86q\x05" + b"h\x05" * 20_000 + b"e\x85q\x01" + b"h\x00h\x01R" * 100 + b"t.",
            BUILDS,
        ),
        "repeated long tuples": (b"((" + b"N" * 100_000 + b"tq\x000" + (b"](" + b"h\x00" + b"e") * 20_000 + b"t.", ""),
        "billion laughs": (laughs + b".", ""),
        "lists without end": (b"(" + b"]" * 2_000_000 + b"t.", BUILDS),
        "a long text as a scalar": (
            b"(" + SCALAR + b"q\x00" + long_text + long_bytes(1 << 20) + b"\x86q\x010" + b"h\x00h\x01R" * 4_000 + b"t.",
            "one numpy text of 1,048,576 bytes, at most 65,536 are admitted; refused",
        ),
        "a text as a scalar again and again": (
            b"(" + SCALAR + b"q\x00" + half_text + long_bytes(60_000) + b"\x86q\x010" + b"h\x00h\x01R" * 4_000 + b"t.",
            COPIES,
        ),
        "keys of one hash": (
            b"}(" + b"".join(b"\x8a\x0a" + (i * prime).to_bytes(10, "little") + b"N" for i in range(40_000)) + b"u.",
            r"a number beyond 2\*\*60 .* as a key; refused",
        ),
        "members of one hash": (
            b"\x8f(" + b"".join(b"\x8a\x0a" + (i * prime).to_bytes(10, "little") for i in range(40_000)) + b"\x90.",
            r"a number beyond 2\*\*60 .* as a key; refused",
        ),
        "floats of one hash": (
            b"}(" + b"".join(b"G" + struct.pack(">d", 2.0 ** (61 * i)) + b"N" for i in range(17)) + b"u.",
            r"a number beyond 2\*\*60 .* as a key; refused",
        ),
        "small floats of one hash": (b"}G" + struct.pack(">d", 2.0**-61) + b"Ns.", r"\(or below 1 / 2\*\*60\) as a key; refused"),
        "tuples of one hash": (
            b"}(" + b"".join(b"(" + b"".join(MINUS if i >> k & 1 else MINUS_2 for k in range(15)) + b"tN" for i in range(1 << 15)) + b"u.",
            "a key with more parts than anyone writes; refused",
        ),
        "complex numbers of one hash": (
            b"}" + call(name("builtins", "complex"), b"K\x01K\x02") + b"Ns.",
            "a complex as a key, which is none of text, numbers and tuples of them; refused",
        ),
        "memo of one hash": (b"N" + b"".join(b"p%d\n" % (i * prime) for i in range(40_000)) + b".", r"numbers a part of it beyond 2\*\*60; refused"),
        "doubled bytes": (long_bytes(1 << 21) + b"2" * 1_000_000 + b".", ""),
    }


TYPES = ["V8", "M8", "m8", "i3", "f1", "i4,i4", "V10000000000", "S2000000000", "S999999999", "(1000,1000)f8", "4f8"]
HOSTILE = programs() | abuses() | arrays() | bombs()


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    content, match = HOSTILE[kind]
    if match:
        with pytest.raises(DataError, match=match):
            load(tmp_path, content)
    else:
        load(tmp_path, content)
    assert not SENTINEL.exists()


MEASURE = """
import os, resource, sys
from pathlib import Path
from workbench.data.untrusted.pickles import load_pickle, numbers
from workbench.errors import DataError
import numpy
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
limit = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE") + (1 << 30)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        found = load_pickle(path)
        if path.name == "billion laughs":
            numbers(found, where="x")
    except DataError:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_hostile_files_take_little_memory(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for kind, (content, _) in HOSTILE.items():
        (folder / kind).write_bytes(content)
    done = subprocess.run([sys.executable, "-c", MEASURE, str(folder)], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment())
    assert int(done.stdout) < 160_000  # KiB; the bounds of the meter are 64 MiB for copies and 64 MiB for containers.
    assert not (tmp_path / SENTINEL).exists()


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
