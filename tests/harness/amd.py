"""Assembly of AMD's compiler, translated to C++ that the CPU can run.

Each instruction becomes one statement for all lanes of a wave. An instruction that is not in any of
our kernels is an error.
"""

from __future__ import annotations

import re
from dataclasses import replace

from miner.codegen.kernel_source import KernelSource

VECTOR = {
    "mov_b32": "{0}", "not_b32": "~{0}", "cndmask_b32": "w.vcc >> l & 1 ? {1} : {0}",
    "add_u32": "{0} + {1}", "sub_u32": "{0} - {1}", "subrev_u32": "{1} - {0}",
    "and_b32": "{0} & {1}", "or_b32": "{0} | {1}", "xor_b32": "{0} ^ {1}",
    "lshlrev_b32": "shifted({1}, {0})", "lshrrev_b32": "{1} >> ({0} & 31)",
    "min_u32": "{0} < {1} ? {0} : {1}", "max_u32": "{0} > {1} ? {0} : {1}",
    "mul_lo_u32": "{0} * {1}", "mul_hi_u32": "mul_hi({0}, {1})",
    "mul_u32_u24": "mul24({0}, {1})", "mad_u32_u24": "mul24({0}, {1}) + {2}",
    "add3_u32": "{0} + {1} + {2}", "xor3_b32": "{0} ^ {1} ^ {2}", "or3_b32": "{0} | {1} | {2}",
    "xad_u32": "({0} ^ {1}) + {2}", "add_lshl_u32": "shifted({0} + {1}, {2})",
    "lshl_add_u32": "shifted({0}, {1}) + {2}", "lshl_or_b32": "shifted({0}, {1}) | {2}",
    "and_or_b32": "({0} & {1}) | {2}", "bfe_u32": "({0} >> ({1} & 31)) & ((1u << ({2} & 31)) - 1)",
    "bfi_b32": "({0} & {1}) | (~{0} & {2})",
    "alignbit_b32": "align({0}, {1}, {2})", "perm_b32": "select_bytes({0}, {1}, {2})",
    "bcnt_u32_b32": "__builtin_popcount({0}) + {1}",
    "clz_i32_u32": "leading({0})", "ffbh_u32": "leading({0})",
    "mbcnt_lo_u32_b32": "__builtin_popcount({0} & (u32)((1ull << (l < 32 ? l : 32)) - 1)) + {1}",
    "mbcnt_hi_u32_b32": "(l < 32 ? 0 : __builtin_popcount({0} & ((1u << (l - 32)) - 1))) + {1}",
}  # fmt: skip
"""Results of one lane, by the instruction without "v_" and encoding; {0} is the first source."""

HALVES = {
    "add_u16": "{0} + {1}", "sub_u16": "{0} - {1}", "mul_lo_u16": "{0} * {1}",
    "lshlrev_b16": "{1} << ({0} & 15)", "lshrrev_b16": "{1} >> ({0} & 15)",
}  # fmt: skip
"""The same of 16 bits; the sources are the lower halves."""

SELECTED = {
    "DWORD": "{0}", "WORD_0": "({0} & 0xffff)", "WORD_1": "({0} >> 16)",
    "BYTE_0": "({0} & 0xff)", "BYTE_1": "({0} >> 8 & 0xff)", "BYTE_2": "({0} >> 16 & 0xff)",
    "BYTE_3": "({0} >> 24)",
}  # fmt: skip
"""Parts of a source that an instruction with "_sdwa" takes."""

SAME = {"add_nc_u32": "add_u32", "sub_nc_u32": "sub_u32", "subrev_nc_u32": "subrev_u32",
        "mad_co_u64_u32": "mad_u64_u32", "add_nc_u16": "add_u16",
        "sub_nc_u16": "sub_u16"}  # fmt: skip
SAME_SCALAR = {
    "add_co_u32": "add_u32", "add_co_ci_u32": "addc_u32", "add_co_i32": "add_i32",
    "sub_co_u32": "sub_u32", "sub_co_i32": "sub_i32",
}  # fmt: skip
"""Other names for the same, by later instruction sets."""

SCALAR = {
    "mov_b32": "{0}", "mul_i32": "{0} * {1}", "mul_hi_u32": "mul_hi({0}, {1})",
    "brev_b32": "reversed({0})",
    "movk_i32": "(s32)(int16_t){0}", "sext_i32_i16": "(s32)(int16_t){0}",
}  # fmt: skip
SCALAR_TESTED = {
    "and_b32": "{0} & {1}", "or_b32": "{0} | {1}", "xor_b32": "{0} ^ {1}",
    "and_not1_b32": "{0} & ~{1}", "andn2_b32": "{0} & ~{1}", "lshl_b32": "shifted({0}, {1})",
    "lshr_b32": "{0} >> ({1} & 31)", "bcnt1_i32_b32": "__builtin_popcount({0})",
    "and_b64": "{0} & {1}", "or_b64": "{0} | {1}", "andn2_b64": "{0} & ~{1}",
    "xor_b64": "{0} ^ {1}", "lshl_b64": "{0} << ({1} & 63)", "bcnt1_i32_b64":
    "__builtin_popcountll({0})",
}  # fmt: skip
"""These set SCC when the result is not 0."""

COMPARED = {"eq": "==", "ne": "!=", "lg": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
NOTHING = re.compile(
    r"s_(waitcnt\w*|wait_\w+|delay_alu|nop|sendmsg|clause|setprio|set_inst_prefetch_distance"
    r"|inst_prefetch)$|buffer_(gl[01]_inv|wbinvl1\w*)$|global_(inv|wb)$"
)
SIZES = {"b32": 1, "dword": 1, "b64": 2, "dwordx2": 2, "b128": 4, "dwordx4": 4, "b256": 8,
         "dwordx8": 8}  # fmt: skip


def in_cpp(source: KernelSource, assembly: str) -> KernelSource:
    """Return `assembly`, compiled from `source`, as a source that `build` takes in its place."""
    body = re.search(rf"^{source.entry}:.*?\n(.*?)^\ts_endpgm", assembly, re.DOTALL | re.MULTILINE)
    assert body
    facts = dict(re.findall(r"\.amdhsa_(\w+) (\d+)\n", assembly))
    for other in ("dispatch_ptr", "queue_ptr", "dispatch_id", "private_segment_size"):
        assert facts[f"user_sgpr_{other}"] == "0", other
    assert facts["user_sgpr_kernarg_segment_ptr"] == facts["system_sgpr_workgroup_id_x"] == "1"
    assert facts["private_segment_fixed_size"] == facts["system_vgpr_workitem_id"] == "0"
    group = int(re.findall(r"\.max_flat_workgroup_size: (\d+)", assembly)[0])
    constants = {
        "LANES": re.findall(r"\.wavefront_size: (\d+)", assembly)[0],
        "GROUP_SIZE": group,
        "LDS_BYTES": facts["group_segment_fixed_size"],
        "ARGUMENT_REGISTER": 4 * int(facts.get("user_sgpr_private_segment_buffer", 0)),
        "GROUP_REGISTER": facts["user_sgpr_count"],
        "BUFFERS": (re.findall(r"#define BUFFERS (\d+)", source.text) or [0])[0],
    }
    tables = re.findall(r"^(\w+):\n((?:\t\.(?:quad|long)\t.*\n)+)", assembly, re.MULTILINE)
    generation = re.findall(r'\.amdgcn_target ".*--gfx(\d+)\w\w"', assembly)[0]
    translator = _Translator(int(constants["LANES"]), keeps_halves=int(generation) >= 10)
    lines = [translator.line(line) for line in body[1].splitlines()]
    text = [
        "#ifdef CONSTANTS\n",
        *(f"#define {name} {value}\n" for name, value in constants.items()),
        "#else\n",
        *(_table(name, rows) for name, rows in tables),
        "#define EACH for (int l = 0; l < LANES; l++) if (w.exec >> l & 1)\n",
        "static int step(Wave &w)\n{\n    switch (w.place) {\n    case 0:;\n    }\n",
        *(f"    if (w.place == {n}) goto resumed{n};\n" for n in range(1, translator.barriers + 1)),
        *lines,
        "    w.place = -1;\n    return 0;\n}\n#endif\n",
    ]
    return replace(source, text="".join(text))


def _table(name: str, rows: str) -> str:
    kind = "u64" if ".quad" in rows else "u32"
    numbers = re.findall(r"\.(?:quad|long)\t(-?\d+)", rows)
    return f"static const {kind} {name}[] = {{{', '.join(f'({kind}){n}ull' for n in numbers)}}};\n"


class _Translator:
    def __init__(self, lanes: int, *, keeps_halves: bool) -> None:
        """`keeps_halves`: an instruction of 16 bits leaves the upper half of its register as it
        is, in place of setting it to 0."""
        self.wide = lanes == 64
        self.keeps_halves = keeps_halves
        self.barriers = 0

    def line(self, line: str) -> str:
        """Return one line of the assembly as C++."""
        plain = line.split(";")[0].strip()
        if label := re.fullmatch(r"\.L(\w+):", plain):
            return f"{label[1]}:;\n"
        if not plain or plain.startswith("."):
            return ""
        return f"    {self.statement(plain)}\n"

    def statement(self, text: str) -> str:
        """Return the statement of one instruction."""
        if " :: " in text:
            return self.dual(*text.split(" :: "))
        name, _, rest = text.partition(" ")
        name = re.sub(r"_(e32|e64|sdwa)$", "", name)
        rest, _, op_sel = rest.partition(" op_sel:")
        selected = dict(re.findall(r" (\w+_sel|dst_unused):(\w+)", rest))
        rest = rest.partition(" dst_sel:")[0]
        operands = [part.strip() for part in rest.split(",")] if rest else []
        if NOTHING.match(name):
            return ";"
        if name == "v_permlane16_b32":
            return self.permlane(op_sel, operands)
        if name == "v_pk_mov_b32":
            assert op_sel == "[0,1]"
            low, high = (self.read64(operand) for operand in operands[1:])
            return f"EACH {self.write64(operands[0], f'(u32){low} | {high} >> 32 << 32')}"
        assert not op_sel
        if selected:
            return self.each_lane(SAME.get(name[2:], name[2:]), operands, selected)
        if name.startswith("v_"):
            return self.vector(name[2:], operands)
        if name.startswith("s_"):
            return self.scalar(name[2:], operands)
        return self.memory(name, operands)

    # Operands

    def read(self, text: str) -> str:
        """Return the 32-bit value of an operand, in lane `l` of a vector register."""
        if found := re.fullmatch(r"([vs])(\d+)", text):
            return f"w.v[{found[2]}][l]" if found[1] == "v" else f"w.s[{found[2]}]"
        if text in ("vcc_lo", "exec_lo"):
            return f"(u32)w.{text[:-3]}"
        if text in ("vcc_hi", "exec_hi"):
            return f"(u32)(w.{text[:-3]} >> 32)"
        if text == "ttmp9":  # from GFX12 on
            return "w.group"
        number = int(text, 0)
        return f"0x{number & 0xFFFFFFFF:x}u"

    def read64(self, text: str) -> str:
        """Return the 64-bit value of an operand."""
        if found := re.fullmatch(r"([vs])\[(\d+):(\d+)\]", text):
            low, high = (self.read(f"{found[1]}{found[n]}") for n in (2, 3))
            return f"((u64){high} << 32 | {low})"
        if text in ("vcc", "exec"):
            return f"w.{text}"
        return f"(u64){int(text, 0)}ll"

    def write(self, text: str, value: str) -> str:
        """Return the assignment of 32 bits."""
        if text in ("vcc_lo", "exec_lo"):
            name = text[:-3]
            return f"w.{name} = (w.{name} & ~0xffffffffull) | (u32)({value});"
        if text == "null":
            return f"(void)({value});"
        return f"{self.read(text)} = {value};"

    def write64(self, text: str, value: str) -> str:
        """Return the assignment of 64 bits; `value` is read before anything is written."""
        if text in ("vcc", "exec"):
            return f"w.{text} = {value};"
        found = re.fullmatch(r"([vs])\[(\d+):(\d+)\]", text)
        assert found, text
        low, high = (self.read(f"{found[1]}{found[n]}") for n in (2, 3))
        return f"{{ const u64 x = {value}; {low} = (u32)x; {high} = (u32)(x >> 32); }}"

    def mask(self, text: str) -> str:
        """Return the value of a mask with one bit for each lane."""
        return self.read64(text) if self.wide else f"(u64){self.read(text)}"

    def write_mask(self, text: str, value: str) -> str:
        """Return the assignment of a mask."""
        if text == "null":
            return ";"
        return self.write64(text, value) if self.wide else self.write(text, f"(u32)({value})")

    # Instructions of all lanes

    def dual(self, first: str, second: str) -> str:
        """Two instructions that read before either writes."""
        parts = []
        for number, text in enumerate((first, second)):
            name, _, rest = text.strip().partition(" ")
            out, *sources = [part.strip() for part in rest.split(",")]
            stem = re.sub(r"^v_dual_", "", name)
            formula = VECTOR[SAME.get(stem, stem)].format(*map(self.read, sources))
            parts.append((f"const u32 x{number} = {formula};", f"{self.read(out)} = x{number};"))
        return f"EACH {{ {parts[0][0]} {parts[1][0]} {parts[0][1]} {parts[1][1]} }}"

    def vector(self, name: str, operands: list[str]) -> str:
        """An instruction that begins with "v_"."""
        if found := re.fullmatch(r"cmp(x?)_(\w\w)_([ui])(32|64)", name):
            return self.compare(*found.groups(), operands)
        if name == "nop":
            return ";"
        name = SAME.get(name, name)
        if name in ("add_u32", "sub_u32") and len(operands) == 4:
            name = f"{name[:3]}_co_u32"  # GFX8's spelling
        if name in ("add_co_u32", "sub_co_u32", "add_co_ci_u32", "addc_co_u32", "addc_u32"):
            return self.carried(name, operands)
        if name == "readfirstlane_b32":
            lane = "const int l = w.exec ? __builtin_ctzll(w.exec) : 0;"
            return f"{{ {lane} {self.write(operands[0], self.read(operands[1]))} }}"
        if name == "mad_u64_u32":
            out, carry, a, b, c = operands
            assert carry in ("null", "vcc") or carry.startswith("s")
            product = f"(u64){self.read(a)} * {self.read(b)} + {self.read64(c)}"
            return f"EACH {self.write64(out, product)}"
        if name in ("lshlrev_b64", "lshrrev_b64"):
            out, count, value = operands
            sign = "<<" if name == "lshlrev_b64" else ">>"
            shift = f"{self.read64(value)} {sign} ({self.read(count)} & 63)"
            return f"EACH {self.write64(out, shift)}"
        if name == "cndmask_b32":
            out, other, chosen, *mask = operands
            bits = self.mask(mask[0])
            value = f"{bits} >> l & 1 ? {self.read(chosen)} : {self.read(other)}"
            return f"EACH {self.read(out)} = {value};"
        return self.each_lane(name, operands, {})

    def each_lane(self, name: str, operands: list[str], selected: dict[str, str]) -> str:
        """An instruction that computes 32 or 16 bits of sources, or of `selected` parts of them."""
        assert selected.get("dst_sel", "DWORD") == "DWORD"
        out, *sources = map(self.read, operands)
        parts = [
            SELECTED[selected.get(f"src{number}_sel", "DWORD")].format(source)
            for number, source in enumerate(sources)
        ]
        if name not in HALVES:
            return f"EACH {out} = {VECTOR[name].format(*parts)};"
        result = HALVES[name].format(*(f"({part} & 0xffff)" for part in parts))
        kept = f"{out} & 0xffff0000" if self.keeps_halves else "0"
        return f"EACH {out} = ({kept}) | (({result}) & 0xffff);"

    def permlane(self, inactive: str, operands: list[str]) -> str:
        """A read of another lane in the row of 16; "[1,0]": of one that is not active, too."""
        out, value, low, high = operands
        lane = f"row_lane(l, {self.read(low)}, {self.read(high)})"
        read = f"w.v[{value.removeprefix('v')}][{lane}]"
        if inactive == "[1,0]":
            return self.across(out, read)
        assert not inactive, inactive
        return self.across(out, f"w.exec >> {lane} & 1 ? {read} : {self.read(out)}")

    def across(self, out: str, value: str) -> str:
        """An instruction whose lanes read other lanes: all read before any writes."""
        number = out.removeprefix("v")
        return f"{{ u32 x[LANES]; EACH x[l] = {value}; EACH w.v[{number}][l] = x[l]; }}"

    def compare(self, x: str, how: str, sign: str, bits: str, operands: list[str]) -> str:
        """A comparison; "cmpx" writes `exec` in place of a mask."""
        out = operands[0] if len(operands) == 3 else ("exec" if self.wide else "exec_lo")
        read = self.read64 if bits == "64" else self.read
        kind = {"u32": "u32", "i32": "s32", "u64": "u64", "i64": "int64_t"}[sign + bits]
        first, second = (f"({kind})({read(operand)})" for operand in operands[-2:])
        bit = f"(u64)({first} {COMPARED[how]} {second}) << l"
        return f"{{ u64 m = 0; EACH m |= {bit}; {self.write_mask(out, 'm')} }}"

    def carried(self, name: str, operands: list[str]) -> str:
        """An addition or subtraction with a carry out, and perhaps one in."""
        out, carry, a, b, *rest = operands
        sign = "-" if name.startswith("sub") else "+"
        more = f" + ({self.mask(rest[0])} >> l & 1)" if rest else ""
        value = f"(u64){self.read(a)} {sign} {self.read(b)}{more}"
        return (
            f"{{ u64 m = 0; EACH {{ const u64 x = {value}; m |= (x >> 32 & 1) << l; "
            f"{self.read(out)} = (u32)x; }} {self.write_mask(carry, 'm')} }}"
        )

    # Instructions of a wave

    def scalar(self, name: str, operands: list[str]) -> str:
        """An instruction that begins with "s_"."""
        name = SAME_SCALAR.get(name, name)
        if operands and operands[0] == "m0":  # the size of local memory, before GFX9
            return ";"
        if name == "add_nc_u64":
            return self.write64(operands[0], " + ".join(map(self.read64, operands[1:])))
        if name in SCALAR:
            return self.write(operands[0], SCALAR[name].format(*map(self.read, operands[1:])))
        if name in SCALAR_TESTED:
            read = self.read64 if name.endswith("b64") else self.read
            value = SCALAR_TESTED[name].format(*map(read, operands[1:]))
            out = self.write64 if name.endswith("_b64") and "bcnt" not in name else self.write
            return f"{{ const u64 x0 = {value}; w.scc = x0 != 0; {out(operands[0], 'x0')} }}"
        if name in ("add_u32", "addc_u32", "add_i32", "sub_u32", "sub_i32", "addk_i32"):
            return self.scalar_sum(name, operands)
        if found := re.fullmatch(r"cmpk?_(\w\w)_([ui])32", name):
            kind = "u32" if found[2] == "u" else "s32"
            first, second = (f"({kind}){self.read(operand)}" for operand in operands)
            return f"w.scc = {first} {COMPARED[found[1]]} {second};"
        if found := re.fullmatch(r"load_(\w+)", name):
            return self.scalar_load(SIZES[found[1]], operands)
        if found := re.fullmatch(r"(and|or|xor|and_not1)_saveexec_b(?:32|64)", name):
            out, mask = operands
            value = {
                "and": "{0} & old", "or": "{0} | old", "xor": "{0} ^ old", "and_not1": "{0} & ~old",
            }[found[1]].format(self.mask(mask))  # fmt: skip
            return (
                f"{{ const u64 old = w.exec; w.exec = {value}; "
                f"{self.write_mask(out, 'old')} w.scc = w.exec != 0; }}"
            )
        if name == "mov_b64":
            return self.write64(operands[0], self.read64(operands[1]))
        if name == "getpc_b64":  # 0: symbols are added to it below
            return self.write64(operands[0], "(u64)0")
        if name == "branch":
            return f"goto {operands[0].removeprefix('.L')};"
        if found := re.fullmatch(r"cbranch_(scc0|scc1|execz|execnz|vccz|vccnz)", name):
            vcc = "w.vcc" if self.wide else "(u32)w.vcc"
            test = {"scc0": "!w.scc", "scc1": "w.scc", "execz": "!w.exec", "execnz": "w.exec",
                    "vccz": f"!{vcc}", "vccnz": vcc}[found[1]]  # fmt: skip
            return f"if ({test}) goto {operands[0].removeprefix('.L')};"
        if name in ("barrier", "barrier_wait"):
            self.barriers += 1
            return f"w.place = {self.barriers}; return 0; resumed{self.barriers}:;"
        assert name in ("barrier_signal",), name
        return ";"

    def scalar_sum(self, name: str, operands: list[str]) -> str:
        if found := re.fullmatch(r"(\w+)@rel32@(lo|hi)\+\d+", operands[-1]):
            half = f"(u32)((u64){found[1]} >> {32 if found[2] == 'hi' else 0})"
            return f"{self.write(operands[0], half)} w.scc = 0;"
        sources = operands if name == "addk_i32" else operands[1:]
        first, second = map(self.read, sources)
        if name == "sub_u32":
            return f"{{ const u64 x = (u64){first} - {second}; w.scc = x >> 32 & 1; {self.write(operands[0], '(u32)x')} }}"  # noqa: E501
        if name.endswith("i32"):  # whether it overflows is not asked
            sign = "-" if name == "sub_i32" else "+"
            return self.write(operands[0], f"{first} {sign} {second}")
        carry = " + w.scc" if name == "addc_u32" else ""
        return (
            f"{{ const u64 x = (u64){first} + {second}{carry}; w.scc = x >> 32; "
            f"{self.write(operands[0], '(u32)x')} }}"
        )

    def scalar_load(self, count: int, operands: list[str]) -> str:
        out, base, offset = operands
        first = int(re.findall(r"\d+", out)[0])
        address = f"{self.read64(base)} + {self.read(offset)}"
        return (
            f"{{ const u64 a = {address}; "
            + " ".join(f"w.s[{first + i}] = at<u32>(a + {4 * i});" for i in range(count))
            + " }"
        )

    # Memory

    def memory(self, name: str, operands: list[str]) -> str:
        """A load, a store or an atomic addition; or an exchange through the LDS hardware."""
        last, *modifiers = operands[-1].split()
        operands[-1] = last
        offset = sum(int(m.removeprefix("offset:")) for m in modifiers if m.startswith("offset:"))
        if name == "ds_bpermute_b32":
            out, address, value = operands
            lane = f"{self.read(address)} + {offset}"
            return self.across(out, f"permuted(w, w.v[{value[1:]}], {lane})")
        found = re.fullmatch(
            r"(ds|global|flat)_(load|store|read|write|atomic_add)_?(?:u32_)?(\w*)", name
        )
        assert found, name
        if found[1] == "ds":
            return self.local(found[2], found[3], operands, modifiers, offset)
        if found[2] == "atomic_add":
            returns = bool({"glc", "th:TH_ATOMIC_RETURN", "sc0"} & set(modifiers))
            out, where, value, *base = operands if returns else ("", *operands)
            address = self.address(where, base, offset)
            kept = f"{self.read(out)} = old;" if returns else "(void)old;"
            return (
                f"EACH {{ u32 &x = at<u32>({address}); const u32 old = x; "
                f"x += {self.read(value)}; {kept} }}"
            )
        load = found[2] in ("load", "read")
        register, where, *base = operands if load else (operands[1], operands[0], *operands[2:])
        return self.moved("at", register, self.address(where, base, offset), SIZES[found[3]], load)

    def local(
        self, action: str, kind: str, operands: list[str], modifiers: list[str], offset: int
    ) -> str:
        load = action in ("load", "read")
        register, where = operands[:2] if load else (operands[1], operands[0])
        pair = re.fullmatch(r"(2addr|2)_?(st64_)?(b32|b64)", kind)
        if not pair:
            address = f"{self.read(where)} + {offset}"
            return self.moved("shared", register, address, SIZES[kind], load)
        size = SIZES[pair[3]]
        given = {m.split(":")[0]: int(m.split(":")[1]) for m in modifiers}
        unit = 4 * size * (64 if pair[2] else 1)
        parts = self.registers(register) if load else [
            part for operand in operands[1:] for part in self.registers(operand)
        ]  # fmt: skip
        words = []
        for i, part in enumerate(parts):
            place = given.get(f"offset{i // size}", 0) * unit + 4 * (i % size)
            words.append((part, f"shared<u32>(a + {place})"))
        moves = " ".join(f"{p} = {m};" if load else f"{m} = {p};" for p, m in words)
        return f"EACH {{ const u32 a = {self.read(where)}; {moves} }}"

    def registers(self, text: str) -> list[str]:
        """Return the words of consecutive vector registers."""
        first, last = (int(n) for n in (re.findall(r"\d+", text) * 2)[:2])
        return [f"w.v[{n}][l]" for n in range(first, last + 1)]

    def moved(self, space: str, register: str, address: str, count: int, load: bool) -> str:
        words = self.registers(register)
        assert len(words) == count, register
        moves = []
        for i, word in enumerate(words):
            place = f"{space}<u32>(a + {4 * i})"
            moves.append(f"{word} = {place};" if load else f"{place} = {word};")
        return f"EACH {{ const auto a = {address}; {' '.join(moves)} }}"

    def address(self, where: str, base: list[str], offset: int) -> str:
        """Return a global address: a vector of addresses, or a scalar one and vector offsets."""
        if not base or base[0] == "off":
            return f"{self.read64(where)} + {offset}ll"
        return f"{self.read64(base[0])} + {self.read(where)} + {offset}ll"
