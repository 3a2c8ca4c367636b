from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.errors import ProtocolError
from miner.stratum.wire_format import LineReader, encode


def test_lines_have_no_line_ends() -> None:
    assert LineReader().feed(b"one\ntwo\r\n") == [b"one", b"two"]


def test_line_may_arrive_in_pieces() -> None:
    reader = LineReader()
    assert reader.feed(b"on") == []
    assert reader.feed(b"e\r") == []
    assert reader.feed(b"\ntw") == [b"one"]
    assert reader.feed(b"o\n") == [b"two"]


def test_empty_lines_are_left_out() -> None:
    assert LineReader().feed(b"\n\r\n  \na\n\n") == [b"a"]


def test_line_of_exactly_the_limit_is_accepted() -> None:
    assert LineReader(limit=4).feed(b"abcd\n") == [b"abcd"]


@pytest.mark.parametrize("data", [b"abcde", b"abcde\n", b"ok\nabcde"])
def test_oversized_line_is_refused(data: bytes) -> None:
    reader = LineReader(limit=4)
    with pytest.raises(ProtocolError, match="longer than 4 bytes"):
        reader.feed(data)
    with pytest.raises(ProtocolError):
        reader.feed(b"ok\n")


def test_oversized_line_in_small_pieces_is_refused() -> None:
    reader = LineReader(limit=4)
    assert [reader.feed(b"x") for _ in range(4)] == [[]] * 4
    with pytest.raises(ProtocolError):
        reader.feed(b"x")


@given(st.lists(st.binary(max_size=20)), st.data())
def test_any_split_of_the_stream_gives_the_same_lines(
    lines: list[bytes], data: st.DataObject
) -> None:
    stream = b"\n".join(lines) + b"\n"
    whole = LineReader().feed(stream)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader, pieces = LineReader(), []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        pieces += reader.feed(stream[start:stop])
    assert pieces == whole


def test_encode_writes_one_compact_ascii_line() -> None:
    line = encode({"id": 1, "method": "mining.subscribe", "params": ["é\n"]})
    assert line == b'{"id":1,"method":"mining.subscribe","params":["\\u00e9\\n"]}\n'
    assert json.loads(line)["params"] == ["é\n"]
