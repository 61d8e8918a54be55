"""A stack machine for pickles that builds plain data and can do nothing else.

The standard unpickler imports what a file names and calls it, and allocates what a file asks for. This machine knows no import and no
call: each admitted name stands for a function of `pickle_arrays`, every other name is an error, and every byte made is counted.
"""

import codecs
from collections import OrderedDict, defaultdict

from workbench.data.untrusted.pickle_arrays import ADMITTED, KEY_MOST, Building, Name, key, set_array, set_dtype, shown
from workbench.data.untrusted.pickle_source import Raw, RefusalError, Source

MARKS = 10_000


class _Parts(tuple):
    """A tuple with a long byte string in it: the arguments or the state of an array, most likely."""


UNFINISHED = frozenset({Raw, _Parts, Building, Name})


class Machine:
    """The stack, the marks on it and the memo of one pickle; a method an instruction."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.stack: list = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}

    def pop(self) -> object:
        """The top of the stack."""
        self.check_top()
        return self.stack.pop()

    def check_top(self) -> None:
        """There is something above the last mark."""
        if not self.stack or (self.marks and len(self.stack) <= self.marks[-1]):
            raise RefusalError("the pickle is damaged: an instruction has nothing to work on")

    def popped_to_mark(self) -> list:
        """What lies above the last mark."""
        if not self.marks:
            raise RefusalError("the pickle is damaged: an instruction looks for a mark that is not there")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def plain(self, value: object) -> object:
        """A value as it may stand in a container."""
        kind = type(value)
        if kind not in UNFINISHED:
            return value
        if kind is Raw:
            return self.source.value(value)  # type: ignore[arg-type]
        if kind is _Parts:
            return tuple(self.plain(part) for part in value)  # type: ignore[attr-defined]
        if kind is Name:
            raise RefusalError(f"the pickle asks for {value.text} itself, not for data; refused")  # type: ignore[attr-defined]
        if value.value is None:  # type: ignore[attr-defined]
            raise RefusalError("the pickle has an array that holds itself, or has no content; refused")
        return value.value  # type: ignore[attr-defined]

    def plain_all(self, values: list) -> list:
        """Values as they may stand in a container."""
        plain = self.plain
        return [plain(value) if type(value) in UNFINISHED else value for value in values]

    # -- one instruction each ----------------------------------------------------------------------------------------------------

    def mark(self) -> None:
        if len(self.marks) >= MARKS:
            raise RefusalError(f"the pickle nests more than {MARKS:,} containers at once; refused")
        self.marks.append(len(self.stack))

    def drop(self) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.pop()

    def again(self) -> None:
        self.check_top()
        self.stack.append(self.stack[-1])

    def make_tuple(self, items: list) -> None:
        """Long byte strings and names stay as they are one level deep: an array may be about to be made of them."""
        self.source.build(64 + 8 * len(items))
        made: list = []
        kind: type = tuple
        for item in items:
            if type(item) in UNFINISHED:
                if type(item) in (Raw, Name):
                    kind = _Parts
                else:
                    item = self.plain(item)
            made.append(item)
        self.stack.append(kind(made))

    def short_tuple(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.make_tuple(items[::-1])

    def make_list(self, items: list) -> None:
        self.source.build(80 + 8 * len(items))
        self.stack.append(self.plain_all(items))

    def make_dict(self, items: list) -> None:
        self.source.build(88)
        self.stack.append({})
        self.fill_dict(items)

    def make_set(self, items: list, kind: type) -> None:
        self.source.build(240 + 64 * len(items))
        self.stack.append(kind(key(item) for item in self.plain_all(items)))

    def top(self, *kinds: type) -> object:
        """The container on top of the stack, which must be of a plain kind."""
        self.check_top()
        if type(self.stack[-1]) not in kinds:
            raise RefusalError(f"the pickle fills a {type(self.stack[-1]).__name__} as if it were a {kinds[0].__name__}; refused")
        return self.stack[-1]

    def fill_list(self, items: list) -> None:
        self.source.build(8 * len(items))
        self.top(list).extend(self.plain_all(items))  # type: ignore[attr-defined]

    def fill_dict(self, items: list) -> None:
        if len(items) % 2:
            raise RefusalError("the pickle is damaged: a dictionary has a key without a value")
        target = self.top(dict, OrderedDict, defaultdict)
        self.source.build(32 * len(items))
        items = self.plain_all(items)
        for i in range(0, len(items), 2):
            target[key(items[i])] = items[i + 1]  # type: ignore[index]

    def fill_set(self, items: list) -> None:
        self.source.build(64 * len(items))
        self.top(set).update([key(item) for item in self.plain_all(items)])  # type: ignore[attr-defined]

    def put(self, index: int) -> None:
        self.check_top()
        if not 0 <= index < KEY_MOST:
            raise RefusalError("the pickle numbers a part of it beyond 2**60; refused")
        self.source.build(64)
        self.memo[index] = self.stack[-1]

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise RefusalError(f"the pickle is damaged: it refers to its part {index:,}, which is not there")
        value = self.memo[index]
        self.stack.append(value.value if type(value) is Building and value.is_done else value)

    def name(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise RefusalError("the pickle asks for a name that is no text; refused")
        admitted = ADMITTED.get((module, name))
        if admitted is None:
            raise RefusalError(f"the pickle asks for {shown(module)}.{shown(name)}, which could run a program; refused")
        self.stack.append(admitted)

    def name_of_stack(self) -> None:
        name, module = self.pop(), self.pop()
        self.name(module, name)

    def call(self) -> None:
        """Our own function under an admitted name; the file's name is never looked up anywhere."""
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, Name) or not isinstance(arguments, tuple):
            raise RefusalError(f"the pickle calls a {type(name).__name__} with a {type(arguments).__name__}; refused")
        if name.call is None:
            raise RefusalError(f"the pickle asks to call {name.text}, which plain data does not need; refused")
        self.source.build(128)  # The head of an array, or of its type.
        self.stack.append(name.call(self.source, arguments))

    def set_state(self) -> None:
        state = self.pop()
        building = self.stack[-1] if self.stack else None
        if not isinstance(building, Building) or building.is_done:
            raise RefusalError(f"the pickle sets the state of a {type(building).__name__}, which plain data does not need; refused")
        building.value = set_dtype(building, state) if building.kind == "dtype" else set_array(self.source, state)
        building.is_done = True
        self.stack[-1] = building.value

    def refuse(self, asks: str) -> None:
        raise RefusalError(f"the pickle asks for {asks}; refused")

    def instance(self) -> None:
        module, name = (self.source.line().decode("latin-1") for _ in range(2))
        self.refuse(f"an instance of {shown(module)}.{shown(name)}, which could run a program")

    def instance_of_stack(self, has_mark: bool = False) -> None:
        items = self.popped_to_mark() if has_mark else self.stack
        named = [item.text for item in items if isinstance(item, Name)]
        self.refuse(f"an instance of {named[-1] if named else 'no admitted name'}, which could run a program")

    def protocol(self) -> None:
        version = self.source.take(1)[0]
        if version > 5:
            raise RefusalError(f"the pickle is of protocol {version}, known are 0 to 5")

    def text_number(self) -> None:
        line = self.source.line()
        self.stack.append(line == b"01" if line in (b"00", b"01") else int(line.removesuffix(b"L")))

    def quoted(self) -> None:
        line = self.source.line()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise RefusalError("the pickle is damaged: a text without quotes")
        self.stack.append(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))  # type: ignore[attr-defined]
