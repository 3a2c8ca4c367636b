"""PTX of NVIDIA's compiler, translated to C++ that the CPU can run.

Each instruction becomes one statement, each register a variable. An instruction that is not in any
of our kernels is an error.
"""

from __future__ import annotations

import re
from dataclasses import replace

from miner.codegen.kernel_source import KernelSource

HEAD = """\
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
struct u32x4 { u32 x, y, z, w; };

template <class T> static T &at(u64 address)
{
    return *reinterpret_cast<T *>(address);
}

/* Shifts by the width or more give 0. */
template <class T> static T shl(T a, u32 n)
{
    return n < 8 * sizeof(T) ? a << n : 0;
}

template <class T> static T shr(T a, u32 n)
{
    return n < 8 * sizeof(T) ? a >> n : 0;
}

template <class T> static T bfi(T a, T b, u32 position, u32 length)
{
    const T mask = shl<T>(shl<T>(1, length) - 1, position);
    return (b & ~mask) | (shl<T>(a, position) & mask);
}

static u32 prmt(u32 a, u32 b, u32 selector)
{
    u32 out = 0;
    for (int i = 0; i < 4; i++) {
        const u32 which = selector >> 4 * i & 15;
        if (which > 7)
            block::fail("spreads a sign");
        out |= static_cast<u32>(((u64)b << 32 | a) >> 8 * which & 0xff) << 8 * i;
    }
    return out;
}

/* Addresses in shared memory are offsets in it. */
alignas(16) static unsigned char shared_memory[SHARED_BYTES];

static u32 shfl_idx(u32 a, u32 source, u32 c, u32 mask)
{
    if ((c & 31u) != 31u)
        block::fail("shuffles with an unsupported clamp");
    return __shfl_sync(mask, a, static_cast<int>(source), static_cast<int>(32u - (c >> 8 & 31u)));
}
"""

STATEMENTS = {
    "mov": "{0} = ({T}){1};",
    "upper": "{0} = ({T}){1} >> 4 * sizeof({T});",
    "lower": "{0} = {1};",
    "add": "{0} = ({T}){1} + ({T}){2};",
    "sub": "{0} = ({T}){1} - ({T}){2};",
    "and": "{0} = ({T}){1} & ({T}){2};",
    "or": "{0} = ({T}){1} | ({T}){2};",
    "xor": "{0} = ({T}){1} ^ ({T}){2};",
    "not": "{0} = ~({T}){1};",
    "neg": "{0} = -({T}){1};",
    "shl": "{0} = shl<{T}>({1}, {2});",
    "shr": "{0} = shr<{T}>({1}, {2});",
    "min": "{0} = ({T}){1} < ({T}){2} ? {1} : {2};",
    "mul.lo": "{0} = (u32)({1}) * (u32)({2});",
    "mul.hi": "{0} = (u64)(u32)({1}) * (u32)({2}) >> 32;",
    "mul.hi.u16": "{0} = (u32)({1}) * (u32)({2}) >> 16;",
    "prmt": "{0} = prmt({1}, {2}, {3});",
    "mad.lo": "{0} = (u32)({1}) * (u32)({2}) + (u32)({3});",
    "clz": "{0} = {1} ? __builtin_clz({1}) : 32;",
    "popc": "{0} = __builtin_popcount({1});",
    "bfe.u32": "{0} = shr<u32>({1}, {2}) & (shl<u32>(1, {3}) - 1);",
    "bfe.s32": "{0} = (s32)shl<u32>({1}, 32 - {2} - {3}) >> 32 - {3};",
    "bfi": "{0} = bfi<{T}>({1}, {2}, {3}, {4});",
    "selp": "{0} = {3} ? ({T}){1} : ({T}){2};",
    "shf.l.wrap": "{0} = (((u64){2} << 32 | {1}) << ({3} & 31u)) >> 32;",
    "shf.r.wrap": "{0} = ((u64){2} << 32 | {1}) >> ({3} & 31u);",
    "cvta.to.global": "{0} = {1};",
    "cvta.local": "{0} = {1};",
    "cvta.shared": "{0} = {1};",
    "cvta.to.shared": "{0} = {1};",
    "membar.cta": "__threadfence_block();",
    "shfl.sync.idx": "{0} = shfl_idx({1}, {2}, {3}, {4});",
    "bar.sync": "__syncthreads();",
    "ret": "return;",
    "atom.global.add": "{0} = atomicAdd(&at<u32>({1}), {2});",
}
"""C++ by instruction, mostly without its type; {T} is the type, {0} the destination."""

PARAMETER = re.compile(r"\.param \.(\w+) (?:\.ptr \.align \d+ )?(\w+)")
"""Type and name."""

HALVES = {
    "upper": r"\{ \.reg \.b\d+ tmp; mov\.b(\d+) \{tmp, (%\w+)\}, (%\w+); \}",
    "lower": r"\{ \.reg \.b\d+ tmp; mov\.b(\d+) \{(%\w+), tmp\}, (%\w+); \}",
}
"""How the compiler writes half of a register from sm_100 on, by our name for it."""

COMPARISONS = {"lt": "<", "gt": ">", "eq": "==", "ne": "!=", "ge": ">=", "le": "<="}

TYPES = {
    "b8": "unsigned char", "b16": "u16", "u16": "u16", "s16": "short", "b32": "u32", "u32": "u32",
    "s32": "s32", "b64": "u64", "u64": "u64", "s64": "long long", "pred": "bool",
}  # fmt: skip


def in_cpp(source: KernelSource, ptx: str) -> KernelSource:
    """Return `ptx`, compiled from `source`, as a source that `build` takes in its place."""
    head, body = _entry(ptx)
    parameters = PARAMETER.findall(head)
    (threads,) = re.findall(r"\.maxntid (\d+), 1, 1", head)
    lines = [f"#define GROUP_SIZE {threads}u\n"]
    lines += re.findall(r"#define BUFFERS \w+\n", source.text)
    lines += [_shared(ptx, source.dynamic_bytes), HEAD]
    lines += [
        _array(line, "static const ") for line in ptx.splitlines() if line.startswith(".const")
    ]
    lines += [f"static void entry({', '.join(f'{TYPES[t]} {name}' for t, name in parameters)})\n"]
    lines += ["{\n", *map(_line, _lines(body)), "}\n", _caller(source.entry, parameters)]
    return replace(source, text="".join(lines), dynamic_bytes=0)


def parameters_of(ptx: str) -> list[str]:
    """Return the types of the kernel's arguments, as in ["u64", "u32"]."""
    return [kind for kind, _ in PARAMETER.findall(_entry(ptx)[0])]


def _entry(ptx: str) -> tuple[str, str]:
    found = re.search(r"\.visible \.entry (.*?)\n\{\n(.*)\n\}\s*$", ptx.rstrip("\0\n "), re.DOTALL)
    assert found, "the text ends with its only kernel"
    return found[1], found[2]


def _caller(entry: str, parameters: list[tuple[str, str]]) -> str:
    """Return a function with the kernel's name that takes the runner's arguments."""
    given = [f"T{i} a{i}" for i in range(len(parameters))]
    passed = [f"({TYPES[t]})a{i}" for i, (t, _) in enumerate(parameters)]
    types = ", ".join(f"class T{i}" for i in range(len(parameters)))
    return (
        f"template <{types}> static void {entry}({', '.join(given)})\n"
        f"{{\n    entry({', '.join(passed)});\n}}\n"
    )


def _lines(body: str) -> list[str]:
    """Return one statement a line, without comments."""
    plain = re.sub(r"//.*", "", body).replace("\t", " ")
    for half, pattern in HALVES.items():
        plain = re.sub(pattern, rf"{half}.b\1 \2, \3;", plain)
    return [
        part
        for line in plain.splitlines()
        for part in re.split(r"(?<=[;:])\s+", line.strip())
        if part
    ]


def _line(line: str) -> str:
    if line in "{}":
        return line + "\n"
    if line.startswith(".shared"):
        return ""
    if line.startswith(".local"):
        return _array(line, "")
    if line.startswith(".reg"):
        return _registers(line)
    if line.startswith(".pragma"):
        return ""
    if label := re.fullmatch(r"\$?(\w+):", line):
        return f"{label[1]}:;\n"
    guard, statement = re.fullmatch(r"(@!?%\w+ )?(.*);", line).groups()  # type: ignore[union-attr]
    text = _statement(statement.strip())
    if guard:
        negated, name = re.match(r"@(!?)(%\w+)", guard).groups()  # type: ignore[union-attr]
        return f"if ({negated}{_value(name)}) {{ {text} }}\n"
    return text + "\n"


def _shared(ptx: str, dynamic: int) -> str:
    """Return constants: the size of the shared memory, and by name where each array begins."""
    lines, end = [], 0
    for name, size in re.findall(r"\.shared \.align \d+ \.b8 (\w+)\[(\d*)\];", ptx):
        lines.append(f"constexpr unsigned long long {name} = {end};\n")
        end += -(-int(size or dynamic) // 16) * 16
    return "".join(lines) + f"constexpr unsigned SHARED_BYTES = {end or 16};\n"


def _registers(line: str) -> str:
    kind, name, many = re.fullmatch(
        r"\.reg \.(\w+) %(\w+)(?:<(\d+)>)?;", re.sub(r"\s+", " ", line)
    ).groups()  # type: ignore[union-attr]
    return f"{TYPES[kind]} {name}{f'[{many}]' if many else ''};\n"


def _array(line: str, before: str) -> str:
    line = re.sub(r"\.u32 (\w+)(?: = (\d+))?;", r".b8 \1[4] = {\2};", line)  # a word below 256
    found = re.match(r"\.\w+ \.align (\d+) \.b8\s+(\w+)\[(\d+)\](?: = (\{.*\}))?;", line)
    assert found, line
    value = f" = {found[4]}" if found[4] else ""
    return f"alignas({found[1]}) {before}unsigned char {found[2]}[{found[3]}]{value};\n"


def _value(text: str) -> str:
    text = text.strip()
    if text in ("%tid.x", "%ctaid.x"):
        return {"%tid.x": "threadIdx.x", "%ctaid.x": "blockIdx.x"}[text]
    if many := re.fullmatch(r"%(rs|r|rd|p)(\d+)", text):
        return f"{many[1]}[{many[2]}]"
    if text.startswith("%"):
        return text[1:]
    if re.fullmatch(r"-?\d+", text):
        return text + ("ull" if not text.startswith("-") and int(text) >> 31 else "")
    assert re.fullmatch(r"\w+", text), text
    return f"(u64){text}"  # the address of an array


def _address(text: str) -> str:
    base, _, offset = text.strip("[] ").partition("+")
    return f"{_value(base)} + {offset or 0}"


def _statement(text: str) -> str:
    name, _, rest = text.partition(" ")
    operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", rest)
    stem, _, kind = name.rpartition(".")
    if name == "ret":
        return STATEMENTS["ret"]
    if stem == "bra" or name == "bra":
        return f"goto {operands[0].lstrip('$')};"
    if name.startswith(("ld.", "st.")):
        return _memory(name.split("."), operands)
    if name.startswith("setp."):
        _, comparison, kind = name.split(".")
        values = [f"({TYPES[kind]}){_value(o)}" for o in operands[1:]]
        return f"{_value(operands[0])} = {values[0]} {COMPARISONS[comparison]} {values[1]};"
    if re.fullmatch(r"cvt\.u\d\d\.u\d\d", name):
        into, out_of = name.split(".")[1:]
        return f"{_value(operands[0])} = ({into})({out_of}){_value(operands[1])};"
    if stem == "mul.wide":
        wide = {"u16": "u32", "u32": "u64", "s32": "long long"}[kind]
        first, second = (f"({wide})({TYPES[kind]}){_value(o)}" for o in operands[1:])
        return f"{_value(operands[0])} = {first} * {second};"
    if name == "mov.b64" and operands[1].startswith("{"):
        low, high = (_value(half) for half in operands[1].strip("{}").split(","))
        return f"{_value(operands[0])} = (u64){high} << 32 | {low};"
    if name in ("bar.sync", "membar.cta"):
        return STATEMENTS[name]
    if stem == "shfl.sync.idx":
        operands[0] = operands[0].partition("|")[0]  # without the predicate of a valid source lane
    if stem == "atom.global.add":
        values = [_value(operands[0]), _address(operands[1]), _value(operands[2])]
    else:
        values = [_value(operand) for operand in operands]
    form = STATEMENTS.get(name) or STATEMENTS[stem]
    return form.format(*values, T=TYPES[kind])


def _memory(words: list[str], operands: list[str]) -> str:
    """`ld` and `st`, of one word or of a vector."""
    kind = TYPES[words[-1]]
    load = words[0] == "ld"
    place, values = (operands[1], operands[0]) if load else (operands[0], operands[1])
    if words[1] == "param":
        return f"{_value(values)} = {place.strip('[]')};"
    lines = []
    window = "(u64)shared_memory + " if words[1] == "shared" else ""
    for i, value in enumerate(values.strip("{}").split(",")):
        where = f"at<{kind}>({window}{_address(place)} + {i} * sizeof({kind}))"
        lines.append(f"{_value(value)} = {where};" if load else f"{where} = {_value(value)};")
    return " ".join(lines)
