"""What a compiler plans, read from the compiled program: memory, what devices exchange, and the work in each loop."""

import dataclasses
import math
import re
from collections import Counter, defaultdict
from typing import NamedTuple

import jax

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")
COPIES = ("copy", "copy-start", "transpose")
NO_WORK = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "call", "conditional", "after-all"}
COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?[\w.\-]+ = (.+?) ([a-z][\w\-]*)\((.*)")
CALLED = re.compile(r"(?:calls|to_apply|body|condition)=%?([\w.\-]+)")
BYTES = {
    "pred": 1,
    "s8": 1,
    "u8": 1,
    "bf16": 2,
    "f16": 2,
    "s16": 2,
    "u16": 2,
    "f32": 4,
    "s32": 4,
    "u32": 4,
    "f64": 8,
    "s64": 8,
}
# Parts of an operation's name that do not say where in the model it is.
PLUMBING = re.compile(r".*[(.].*|shard_map|closed_call|while|body|checkpoint|rematted_computation")


class Instruction(NamedTuple):
    """A line of a program: the type of its result, its operation, and the rest."""

    result: str
    operation: str
    rest: str

    @property
    def works(self) -> bool:
        """Whether it starts a kernel, or copies. A TPU computes single numbers on the side."""
        scalar = re.match(r"\w+\[\]", self.result) is not None
        return self.operation not in NO_WORK and not self.operation.endswith("-done") and not scalar


@dataclasses.dataclass(frozen=True)
class Exchange:
    """Arrays that devices exchange by one kind of collective operation."""

    kind: str
    count: int
    bytes: int  # of the results on one device
    in_loops: int  # how many of them are in loops


@dataclasses.dataclass(frozen=True)
class Loop:
    """Loops of a program that have the same name and do the same work."""

    name: str
    count: int  # of such loops in the program
    turns: int | None  # of each; None if the compiler does not know them
    kernels: int  # started in a turn, without those of loops inside
    copies: int  # in a turn


@dataclasses.dataclass(frozen=True)
class CompiledPlan:
    """The plan of a compiled program for each device."""

    argument_bytes: int
    temporary_bytes: int
    other_bytes: int  # the program, and results that do not take the place of arguments
    exchanges: tuple[Exchange, ...]
    loops: tuple[Loop, ...]

    @property
    def total_bytes(self) -> int:
        return self.argument_bytes + self.temporary_bytes + self.other_bytes


def read_plan(compiled: jax.stages.Compiled) -> CompiledPlan:
    """Reads the plan of a program, compiled for devices that may be only described."""
    memory, program = compiled.memory_analysis(), _parse(compiled.as_text())
    whiles = [line for lines in program.values() for line in lines if line.operation == "while"]
    in_loops = _reachable(program, {re.search(r"body=%?([\w.\-]+)", line.rest)[1] for line in whiles})
    return CompiledPlan(
        memory.argument_size_in_bytes,
        memory.temp_size_in_bytes,
        memory.generated_code_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes,
        _exchanges(program, in_loops),
        _loops(program, whiles),
    )


def _parse(text: str) -> dict[str, list[Instruction]]:
    """The instructions of each computation of a program, by its name."""
    program, lines = {}, []
    for line in text.splitlines():
        if start := COMPUTATION.match(line):
            lines = program[start[1]] = []
        elif found := INSTRUCTION.match(line):
            lines.append(Instruction(*found.groups()))
    return program


def _reachable(program: dict[str, list[Instruction]], names: set[str]) -> set[str]:
    """These computations, and all that they call."""
    found, todo = set(), set(names)
    while todo:
        name = todo.pop()
        found.add(name)
        todo |= {called for line in program.get(name, ()) for called in CALLED.findall(line.rest)} - found
    return found


def _exchanges(program: dict[str, list[Instruction]], in_loops: set[str]) -> tuple[Exchange, ...]:
    counts, sizes, inside = Counter(), Counter(), Counter()
    for name, lines in program.items():
        for line in lines:
            kind = line.operation.removesuffix("-done")  # the result of a pair is that of its end
            if kind in COLLECTIVES:
                counts[kind] += 1
                sizes[kind] += _size(line.result)
                inside[kind] += name in in_loops
    return tuple(Exchange(kind, counts[kind], sizes[kind], inside[kind]) for kind in sorted(counts))


def _size(result: str) -> int:
    """Bytes of a result, such as "(f32[2,3]{1,0}, bf16[8])"."""
    arrays = re.findall(r"(\w+)\[([\d,]*)\]", result)
    return sum(
        BYTES.get(dtype, 0) * math.prod(int(length) for length in shape.split(",") if length) for dtype, shape in arrays
    )


def _loops(program: dict[str, list[Instruction]], whiles: list[Instruction]) -> tuple[Loop, ...]:
    counts = defaultdict(int)
    for line in whiles:
        body = [inner for inner in program[re.search(r"body=%?([\w.\-]+)", line.rest)[1]] if inner.works]
        copies = sum(inner.operation in COPIES for inner in body)
        counts[_name(line.rest), _turns(program, line.rest), len(body) - copies, copies] += 1
    return tuple(Loop(name, count, turns, kernels, copies) for (name, turns, kernels, copies), count in counts.items())


def _name(rest: str) -> str:
    """Where in the model a loop is, and whether it belongs to the derivative."""
    path = (re.search(r'op_name="([^"]*)"', rest) or ["", ""])[1]
    name = "/".join(part for part in path.split("/") if not PLUMBING.fullmatch(part)) or "the program"
    if "rematted_computation" in path:
        return f"{name}, again"
    return f"{name}, backwards" if "transpose(" in path else name


def _turns(program: dict[str, list[Instruction]], rest: str) -> int | None:
    if known := re.search(r'"known_trip_count":\{"n":"(\d+)"', rest):
        return int(known[1])
    # Else from the condition, "number < constant", if it has one constant only.
    condition = program.get(re.search(r"condition=%?([\w.\-]+)", rest)[1], ())
    limits = [int(line.rest.split(")")[0]) for line in condition if line.operation == "constant" and line.result[:4] == "s32["]
    return limits[0] if len(limits) == 1 else None
