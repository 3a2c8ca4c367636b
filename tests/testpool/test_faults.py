from __future__ import annotations

import json
import re
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from miner.errors import BadValue, ConfigError
from miner.testpool.faults import FAULTS, Chaos, load_script, make_fault


def test_a_fault_has_default_arguments() -> None:
    fault = make_fault("wrong_answer", {"shares": 3})
    assert (fault.number("shares"), fault.choice("say")) == (3, "invalid")
    assert str(fault) == "wrong_answer shares 3 say invalid"
    assert str(make_fault("cut", {})) == "cut"


@pytest.mark.parametrize(
    ("do", "given", "sentence"),
    [
        ("fly", {}, "do: unknown fault 'fly'; use one of cut, delay"),
        (5, {}, "do: unknown fault 5; use one of cut"),
        ("cut", {"seconds": 1}, "seconds: unknown argument of cut; it takes none"),
        ("delay", {"second": 1}, "second: unknown argument of delay (did you mean seconds?)"),
        ("delay", {"seconds": -1}, "seconds: -1 is outside 0 to 600"),
        ("delay", {"seconds": float("nan")}, "seconds: nan is outside 0 to 600"),
        ("delay", {"seconds": "5"}, "seconds: '5' is not a number"),
        ("delay", {"seconds": True}, "seconds: True is not a number"),
        ("garbage", {"lines": 1.5}, "lines: 1.5 is not a whole number"),
        ("wrong_answer", {"say": "no"}, "say: 'no' is not one of invalid, stale"),
        ("wrong_answer", {"say": 5}, "say: 5 is not one of invalid"),
    ],
)
def test_invalid_faults_are_refused(do: Any, given: dict[str, Any], sentence: str) -> None:
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


def test_chaos_uses_every_fault_at_its_rate() -> None:
    faults = list(islice(Chaos(12, seed=0).faults("w"), 3000))
    assert {fault.name for _, fault in faults} == set(FAULTS)
    assert sum(seconds for seconds, _ in faults) / 3000 == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize("rate", [0, -1, 6001, float("nan"), float("inf")])
def test_invalid_rates_are_refused(rate: float) -> None:
    with pytest.raises(BadValue, match="chaos: must be above 0 and at most 6000 faults per minute"):
        Chaos(rate, 0)


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "faults.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_script_runs_in_order_and_continues_after_another_login(tmp_path: Path) -> None:
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
    assert [fault.name for _, fault in script.faults("w")] == ["delay", "ban"]
    assert [fault.name for _, fault in script.faults("w")] == []
    assert [fault.name for _, fault in script.faults("v")] == ["cut", "delay", "ban"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_script_of_a_windows_editor_is_read(tmp_path: Path, encoding: str) -> None:
    script = load_script(written(tmp_path, '[[fault]]\r\ndo = "cut"\r\n'.encode(encoding)))
    assert [fault.name for _, fault in script.faults("w")] == ["cut"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "fault: a script needs at least one [[fault]] table"),
        ("fault = 5", "fault: a script needs at least one [[fault]] table"),
        ("fault = [5]", "fault 1: fault: is not a table"),
        ("[[faults]]", "faults: a script has only [[fault]] tables"),
        ("[[fault]]\nafter = 1", "fault 1: do: is missing; it names the fault"),
        (
            '[[fault]]\ndo = "cut"\n[[fault]]\ndo = "fly"',
            "fault 2: do: unknown fault 'fly'; use",
        ),
        ('[[fault]]\ndo = "cut"\nafter = -1', "fault 1: after: -1 is outside 0 to"),
        ('[[fault]]\ndo = "cut"\nafter = "1"', "fault 1: after: '1' is not a number"),
        ('[[fault]]\ndo = "cut"\nhow = 1', "fault 1: how: unknown argument of cut"),
        ('[[fault]]\ndo = "ban"\nseconds = "x"', "fault 1: seconds: 'x' is not a number"),
        ("[[fault", "is not valid TOML: "),
        (b"\xff", "is not UTF-8 text; save it as UTF-8"),
        (f"fault = {'[' * 10_000}", "lists or tables are nested too deeply"),
    ],
)
def test_invalid_scripts_are_refused(tmp_path: Path, text: str | bytes, sentence: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_script(path)
    assert str(caught.value).startswith(f"{path}: {sentence}")
    assert "\n" not in str(caught.value)


def test_a_missing_script_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_script(tmp_path / "none.toml")


def test_the_docs_list_every_fault_with_its_defaults() -> None:
    text = (Path(__file__).parents[2] / "docs" / "test-pool.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| .* \| (.*?) ?\|$", text, re.MULTILINE))
    for fault, arguments in FAULTS.items():
        found = re.findall(r"`(\w+) = (.*?)`", rows[fault])
        documented = {name: json.loads(value) for name, value in found}
        assert documented == {name: argument.default for name, argument in arguments.items()}
