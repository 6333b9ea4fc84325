"""Kernels and the bytes they move, counted in the text of optimised HLO.

Every instruction of the entry computation that is not mere bookkeeping is a
kernel (or a call of a library). A kernel is assumed to read each operand once,
in full, and to write its results: neither caches nor kernels that read only a
part of an operand are taken into account.
"""

import collections
import dataclasses
import math
import re

_ITEM_BYTES = {
    "pred": 1,
    "s8": 1,
    "u8": 1,
    "s16": 2,
    "u16": 2,
    "f16": 2,
    "bf16": 2,
    "s32": 4,
    "u32": 4,
    "f32": 4,
    "s64": 8,
    "u64": 8,
    "f64": 8,
}
_BOOKKEEPING = {
    "bitcast",
    "constant",
    "get-tuple-element",
    "parameter",
    "tuple",
}
_COMPUTATION = re.compile(r"(?P<entry>ENTRY )?%?(?P<name>[\w.\-]+) .*\{$")
_INSTRUCTION = re.compile(
    r"\s+(?:ROOT )?%(?P<name>[\w.\-]+) = (?P<shape>.+?) "
    r"(?P<opcode>[a-z][\w\-]*)\((?P<operands>.*?)\)(?P<attributes>, \w+=.*)?$"
)
_ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,]*)\]")


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One launch.

    Attributes:
      name: str, of the instruction.
      kind: str: its opcode, the kind of a fusion or the target of a call.
      read, written: ints, bytes.
    """

    name: str
    kind: str
    read: int
    written: int


def kernels(text):
    """The kernels that a program launches.

    Args:
      text: str, optimised HLO, as `as_text()` of a compiled program.

    Returns:
      List of `Kernel`, in the order of the schedule.

    Raises:
      ValueError: if the text has no entry computation, a loop or a branch
        (how often it runs is not in the text), or a dtype of unknown size.
    """
    computations, entry = _parse(text)
    if entry is None:
        raise ValueError(
            f"`text` must be the text of an HLO module. Received: {text[:80]!r}"
        )
    return list(_launches(computations, entry))


def kinds(launched):
    """Dict from kind to the number of kernels of that kind.

    Args:
      launched: list of `Kernel`.
    """
    return dict(sorted(collections.Counter(k.kind for k in launched).items()))


def bytes_moved(launched):
    """Bytes that all of them read and write, int.

    Args:
      launched: list of `Kernel`.
    """
    return sum(kernel.read + kernel.written for kernel in launched)


def _parse(text):
    """Dict from computation to its instructions by name, and the entry's."""
    computations, instructions, entry = {}, None, None
    for line in text.splitlines():
        if not line.startswith(" "):
            header = _COMPUTATION.match(line)
            if header and not line.startswith("HloModule"):
                instructions = computations[header["name"]] = {}
                entry = header["name"] if header["entry"] else entry
        elif found := _INSTRUCTION.match(line):
            instructions[found["name"]] = found
    return computations, entry


def _launches(computations, name):
    instructions = computations[name]
    for instruction in instructions.values():
        opcode = instruction["opcode"]
        if opcode in ("while", "conditional"):
            raise ValueError(
                "`text` must hold no loop and no branch. "
                f"Received: {instruction['name']}"
            )
        if opcode == "call":
            callee = _attribute(instruction, r"to_apply=%?([\w.\-]+)")
            yield from _launches(computations, callee)
        elif opcode not in _BOOKKEEPING:
            yield _kernel(instruction, instructions)


def _kernel(instruction, instructions):
    kind, shape = instruction["opcode"], instruction["shape"]
    if kind == "fusion":
        kind += " " + _attribute(instruction, r"kind=(k\w+)")
    elif kind == "custom-call":
        kind += " " + _attribute(instruction, r'custom_call_target="([^"]+)"')
        # A library's scratch memory, whose traffic is unknown.
        shape = re.sub(r"\bs8\[\d+\]", "", shape)
    operands = set(re.findall(r"%([\w.\-]+)", instruction["operands"]))
    return Kernel(
        name=instruction["name"],
        kind=kind,
        read=sum(_shape_bytes(instructions[o]["shape"]) for o in operands),
        written=_shape_bytes(shape),
    )


def _attribute(instruction, pattern):
    return re.search(pattern, instruction["attributes"])[1]


def _shape_bytes(shape):
    """Bytes of an array, or of all that are in a tuple."""
    total = 0
    for dtype, sizes in _ARRAY.findall(shape):
        if dtype not in _ITEM_BYTES:
            raise ValueError(
                f"`text` must have dtypes of {sorted(_ITEM_BYTES)}. "
                f"Received: {dtype!r}"
            )
        items = math.prod(int(size) for size in sizes.split(",") if size)
        total += items * _ITEM_BYTES[dtype]
    return total
