from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from miner.errors import BadValue, ConfigError
from miner.testpool.faults import KINDS, Chaos, load_script, make_fault


def test_a_fault_has_the_usual_arguments() -> None:
    fault = make_fault("wrong_answer", {"shares": 3})
    assert (fault.number("shares"), fault.word("say")) == (3, "invalid")
    assert str(fault) == "wrong_answer shares 3 say invalid"
    assert str(make_fault("cut", {})) == "cut"


@pytest.mark.parametrize(
    ("do", "given", "sentence"),
    [
        ("fly", {}, "do: 'fly' is none of cut, delay"),
        (5, {}, "do: 5 is none of cut"),
        ("cut", {"seconds": 1}, "seconds: cut has no such argument, it takes nothing"),
        ("delay", {"second": 1}, "second: delay has no such argument, it takes seconds"),
        ("delay", {"seconds": -1}, "seconds: -1 is outside 0 to 600"),
        ("delay", {"seconds": float("nan")}, "seconds: nan is outside 0 to 600"),
        ("delay", {"seconds": "5"}, "seconds: '5' is not a number"),
        ("delay", {"seconds": True}, "seconds: True is not a number"),
        ("garbage", {"lines": 1.5}, "lines: 1.5 is not a whole number"),
        ("wrong_answer", {"say": "no"}, "say: 'no' is none of invalid, stale"),
        ("wrong_answer", {"say": 5}, "say: 5 is none of invalid"),
    ],
)
def test_faults_that_are_none(do: Any, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadValue) as caught:
        make_fault(do, given)
    assert str(caught.value).startswith(sentence)


def test_chaos_is_the_same_for_the_same_seed() -> None:
    def drawn(chaos: Chaos, worker: str = "w") -> list[str]:
        return [f"{seconds:.9g} {fault}" for seconds, fault in islice(chaos.faults(worker), 50)]

    chaos = Chaos(6, seed=1)
    first, second = drawn(chaos), drawn(chaos)
    again = Chaos(6, seed=1)
    assert [drawn(again), drawn(again)] == [first, second]
    others = [drawn(Chaos(6, seed=2)), drawn(Chaos(6, seed=1), "v")]
    assert len({tuple(faults) for faults in (first, second, *others)}) == 4


def test_chaos_draws_every_fault_at_its_rate() -> None:
    faults = list(islice(Chaos(12, seed=0).faults("w"), 3000))
    assert {fault.do for _, fault in faults} == set(KINDS)
    assert sum(seconds for seconds, _ in faults) / 3000 == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize("rate", [0, -1, 6001, float("nan"), float("inf")])
def test_impossible_rates(rate: float) -> None:
    with pytest.raises(BadValue, match=r"chaos: .* faults per minute is not above 0"):
        Chaos(rate, 0)


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "faults.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_script_is_played_in_order_and_goes_on_after_a_new_login(tmp_path: Path) -> None:
    text = """
        [[fault]]
        after = 2.5
        do = "cut"
        [[fault]]
        do = "delay"
        seconds = 1
        [[fault]]
        after = 7
        do = "ban"
    """
    script = load_script(written(tmp_path, text))
    first = script.faults("w")
    assert [(after, str(fault)) for after, fault in islice(first, 2)] == [
        (2.5, "cut"),
        (0, "delay seconds 1"),
    ]
    assert [fault.do for _, fault in script.faults("w")] == ["delay", "ban"]
    assert [fault.do for _, fault in script.faults("w")] == []
    assert [fault.do for _, fault in script.faults("v")] == ["cut", "delay", "ban"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "fault: a script holds one [[fault]] table at least"),
        ("fault = 5", "fault: a script holds one [[fault]] table at least"),
        ("fault = [5]", "fault 1: fault: is not a table"),
        ("[[faults]]", "faults: a script holds nothing but [[fault]] tables"),
        ("[[fault]]\nafter = 1", "fault 1: do: is missing; it names the fault"),
        ('[[fault]]\ndo = "cut"\n[[fault]]\ndo = "fly"', "fault 2: do: 'fly' is none of cut,"),
        ('[[fault]]\ndo = "cut"\nafter = -1', "fault 1: after: -1 is outside 0 to"),
        ('[[fault]]\ndo = "cut"\nafter = "1"', "fault 1: after: '1' is not a number"),
        ('[[fault]]\ndo = "cut"\nhow = 1', "fault 1: how: cut has no such argument"),
        ('[[fault]]\ndo = "ban"\nseconds = "x"', "fault 1: seconds: 'x' is not a number"),
        ("[[fault", "the script is not TOML: "),
        (b"\xff", "the script is not TOML: "),
    ],
)
def test_bad_scripts(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_script(path)
    assert str(caught.value).startswith(f"{path}: {sentence}")
    assert "\n" not in str(caught.value)


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_script(tmp_path / "none.toml")


def test_the_document_names_every_fault_with_its_arguments() -> None:
    text = (Path(__file__).parents[3] / "docs" / "bundled-pool.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| .* \| (.*?) ?\|$", text, re.MULTILINE))
    for do, arguments in KINDS.items():
        said = {name: json.loads(value) for name, value in re.findall(r"`(\w+) = (.*?)`", rows[do])}
        assert said == {name: argument.default for name, argument in arguments.items()}
