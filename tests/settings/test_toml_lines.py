"""The line of each key in any TOML text."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from miner.settings.toml_lines import Place, key_lines
from miner.settings.toml_text import toml_value

TEXT = '''\
# a comment with [brackets] and = signs
top = 1
a.b."c d" = 2   # dotted
list = [
  1, # one ]
  [2,
   3],
  { x = 1, y.z = "}" },
]
text = """
not = 1
[not.a.table]
\\"""also = not"""
literal = \'\'\'
[[neither]]\'\'\'
plain = "# [no] \\" comment" # yes
path = 'C:\\'
when = 1979-05-27 07:32:00
inline = { deep = { er = 1 }, other = [ { k = 1 } ] }

[table]
key = 1

[table.under."quoted.name"]
key = 2

[[pools]]
url = "one"
  [pools.extra]
  key = 1
  [[pools.inner]]
  key = 1

[[ pools ]]
url = "two"
  [[pools.inner]]
  key = 1
  [[pools.inner]]
  "k\\u0065y" = 1

[last]
end = 1'''

LINES: list[tuple[Place, int]] = [
    (("top",), 2),
    (("a",), 3),
    (("a", "b", "c d"), 3),
    (("list",), 4),
    (("list", 0), 5),
    (("list", 1, 0), 6),
    (("list", 1, 1), 7),
    (("list", 2, "x"), 8),
    (("list", 2, "y", "z"), 8),
    (("text",), 10),
    (("literal",), 14),
    (("plain",), 16),
    (("path",), 17),
    (("when",), 18),
    (("inline", "deep", "er"), 19),
    (("inline", "other", 0, "k"), 19),
    (("table",), 21),
    (("table", "key"), 22),
    (("table", "under"), 24),
    (("table", "under", "quoted.name", "key"), 25),
    (("pools",), 27),
    (("pools", 0), 27),
    (("pools", 0, "url"), 28),
    (("pools", 0, "extra", "key"), 30),
    (("pools", 0, "inner", 0, "key"), 32),
    (("pools", 1), 34),
    (("pools", 1, "url"), 35),
    (("pools", 1, "inner", 0, "key"), 37),
    (("pools", 1, "inner", 1), 38),
    (("pools", 1, "inner", 1, "key"), 39),
    (("last", "end"), 42),
]


def test_lines_of_every_form_of_key() -> None:
    tomllib.loads(TEXT)
    found = key_lines(TEXT)
    assert {place: found.get(place) for place, _ in LINES} == dict(LINES)
    assert not {p for p in found if p[0] in ("not", "neither", "also", "no")}


def test_carriage_returns_and_empty_files() -> None:
    assert key_lines("a = 1\r\n\r\nb = [\r\n 1]\r\n") == {
        ("a",): 1, ("b",): 3, ("b", 0): 4,
    }  # fmt: skip
    assert key_lines("") == {}
    assert key_lines("# nothing") == {}


def places(value: Any, place: Place = ()) -> set[Place]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = {place} if place else set()
    for key, one in inner if isinstance(value, dict | list) else ():
        found |= places(one, (*place, key)) if isinstance(one, dict | list) else {(*place, key)}
    return found


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VALUES = st.recursive(
    st.integers() | st.booleans() | NAMES | st.just("]}#,\n\"'='''"),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=6,
)
BREAKS = st.sampled_from(["", "\n", "# a comment = [\n", "\n\n  # x\n"])


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[Place, int]]:
    """A TOML text, and the line of each of its keys."""
    text, lines = "", {}
    tables = draw(
        st.lists(st.tuples(NAMES, st.integers(0, 3)), max_size=4, unique_by=lambda t: t[0])
    )
    for name, times in [("", 0), *tables] if not any(n == "" for n, _ in tables) else tables:
        for i in range(max(1, times)):
            place: Place = ()
            text += draw(BREAKS)
            if name:
                place = (name, i) if times else (name,)
                lines[place] = text.count("\n") + 1
                lines.setdefault((name,), text.count("\n") + 1)
                header = f"[{toml_value(name)}]"
                text += f"[{header}]\n" if times else f"{header}\n"
            elif text.strip():
                continue
            for key in draw(st.lists(NAMES, max_size=3, unique=True)):
                if not name and any(key == other for other, _ in tables):
                    continue
                text += draw(BREAKS)
                lines[*place, key] = text.count("\n") + 1
                text += f"{toml_value(key)} = {toml_value(draw(VALUES))}\n"
    return text, lines


@given(documents())
def test_lines_of_any_document(document: tuple[str, dict[Place, int]]) -> None:
    text, lines = document
    found = key_lines(text)
    assert {place: found.get(place) for place in lines} == lines
    assert places(tomllib.loads(text)) == set(found)
