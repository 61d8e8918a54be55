"""The instructions of a pickle by their letters, and the loop over them."""

from collections.abc import Callable

from workbench.data.untrusted.pickle_arrays import shown
from workbench.data.untrusted.pickle_machine import Machine
from workbench.data.untrusted.pickle_source import RefusalError, Source

STOP = ord(".")


def run(source: Source) -> object:
    """The object in a pickle, from its first instruction to its end mark.

    Raises:
        RefusalError: it asks for more than plain data, or is not well formed.
    """
    machine, data, size = Machine(source), source.data, source.size
    while (position := source.position) < size:
        code = data[position]
        if code == STOP:
            return machine.plain(machine.pop())
        act = ACTIONS.get(code)
        if act is None:
            raise RefusalError(f"the file is no pickle, or a damaged one: no instruction is 0x{code:02x}")
        source.position = position + 1
        act(machine)
    raise RefusalError(f"the pickle is cut off: it has {size:,} bytes and no end mark")


def _pushing(make: Callable[[Source], object]) -> Callable[[Machine], None]:
    return lambda machine: machine.stack.append(make(machine.source))


def _container(make: type, size: int) -> Callable[[Machine], None]:
    def push(machine: Machine) -> None:
        machine.source.build(size)
        machine.stack.append(make())

    return push


# Each instruction by its letter in the standard's table (pickletools).
ACTIONS: dict[int, Callable[[Machine], None]] = {
    ord(code): act
    for code, act in {
        "N": _pushing(lambda source: None),
        "\x88": _pushing(lambda source: True),
        "\x89": _pushing(lambda source: False),
        "I": Machine.text_number,
        "L": Machine.text_number,
        "J": _pushing(lambda source: source.number("<i")),
        "K": _pushing(lambda source: source.take(1)[0]),
        "M": _pushing(lambda source: source.number("<H")),
        "\x8a": _pushing(lambda source: source.whole("<B")),
        "\x8b": _pushing(lambda source: source.whole("<i")),
        "F": _pushing(lambda source: float(source.line())),
        "G": _pushing(lambda source: source.number(">d")),
        "S": Machine.quoted,
        "T": _pushing(lambda source: source.bytes("<i", str)),
        "U": _pushing(lambda source: source.bytes("<B", str)),
        "B": _pushing(lambda source: source.bytes("<I")),
        "C": _pushing(lambda source: source.bytes("<B")),
        "\x8e": _pushing(lambda source: source.bytes("<Q")),
        "\x96": _pushing(lambda source: source.bytes("<Q", bytearray)),
        "V": _pushing(lambda source: source.line().decode("raw-unicode-escape")),
        "X": _pushing(lambda source: source.text("<I")),
        "\x8c": _pushing(lambda source: source.text("<B")),
        "\x8d": _pushing(lambda source: source.text("<Q")),
        "]": _container(list, 80),
        "}": _container(dict, 88),
        ")": _container(tuple, 0),
        "\x8f": _container(set, 240),
        "(": Machine.mark,
        "0": Machine.drop,
        "1": lambda machine: machine.popped_to_mark() and None,
        "2": Machine.again,
        "\x85": lambda machine: machine.short_tuple(1),
        "\x86": lambda machine: machine.short_tuple(2),
        "\x87": lambda machine: machine.short_tuple(3),
        "t": lambda machine: machine.make_tuple(machine.popped_to_mark()),
        "l": lambda machine: machine.make_list(machine.popped_to_mark()),
        "d": lambda machine: machine.make_dict(machine.popped_to_mark()),
        "\x91": lambda machine: machine.make_set(machine.popped_to_mark(), frozenset),
        "a": lambda machine: machine.fill_list([machine.pop()]),
        "e": lambda machine: machine.fill_list(machine.popped_to_mark()),
        "s": lambda machine: machine.fill_dict([machine.pop(), machine.pop()][::-1]),
        "u": lambda machine: machine.fill_dict(machine.popped_to_mark()),
        "\x90": lambda machine: machine.fill_set(machine.popped_to_mark()),
        "p": lambda machine: machine.put(int(machine.source.line())),
        "q": lambda machine: machine.put(machine.source.take(1)[0]),
        "r": lambda machine: machine.put(int(machine.source.number("<I"))),
        "\x94": lambda machine: machine.put(len(machine.memo)),
        "g": lambda machine: machine.get(int(machine.source.line())),
        "h": lambda machine: machine.get(machine.source.take(1)[0]),
        "j": lambda machine: machine.get(int(machine.source.number("<I"))),
        "c": lambda machine: machine.name(machine.source.line().decode("utf-8"), machine.source.line().decode("utf-8")),
        "\x93": Machine.name_of_stack,
        "R": Machine.call,
        "b": Machine.set_state,
        "i": Machine.instance,
        "o": lambda machine: machine.instance_of_stack(has_mark=True),
        "\x81": Machine.instance_of_stack,
        "\x92": Machine.instance_of_stack,
        "\x80": Machine.protocol,
        "\x95": lambda machine: machine.source.take(8) and None,
        "P": lambda machine: machine.refuse(f"the object {shown(machine.source.line().decode('latin-1'))}, which is in another file"),
        "Q": lambda machine: machine.refuse("an object that is in another file"),
        "\x82": lambda machine: machine.refuse(f"the registered class {machine.source.number('<B')}, which could run a program"),
        "\x83": lambda machine: machine.refuse(f"the registered class {machine.source.number('<H')}, which could run a program"),
        "\x84": lambda machine: machine.refuse(f"the registered class {machine.source.number('<i')}, which could run a program"),
        "\x97": lambda machine: machine.refuse("bytes that are in another file"),
        "\x98": lambda machine: machine.refuse("bytes that are in another file"),
    }.items()
}
