"""The first run on a card: steps, limits, records, and the whole plan on simulated cards."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from miner.catalog import variants
from miner.codegen.launch_shape import shape_named
from miner.devices.known_answers import SelftestResult
from miner.progpow.variant import Variant
from miner.work import Outcome
from tests.fakes.variants import KAWPOW
from tests.harness import fake_driver
from tests.harness.child import captured
from tests.ledger.ledger_rig import LedgerRig

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import card_checks
import card_rates
import first_run
from first_run import Run, Step
from first_run_results import PREDICTIONS, Results, report, table

CHECKOUT = Path(__file__).parents[2]
ABOUT = {"sources": "these", "device": "cuda:0"}
HANGS = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(600)"


def script(
    name: str, code: str, seconds: float = 60.0, least: float = 0.0, *, always: bool = False
) -> Step:
    return Step(name, seconds, name, ("-c", code), least, always)


def figure(name: str, value: float = 1) -> str:
    return f"import json; print(json.dumps({{'figure': {name!r}, 'value': {value}, 'unit': 's'}}))"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Results]:
    def does(*plan: Step, seconds: float = 60.0, **about: str) -> Results:
        results = Results.opened(tmp_path, ABOUT | about)
        results.add(run={"about": results.about})
        Run(results, "cuda:0", seconds, os.environ, grace=0.1).do(plan)
        return results

    return does


def ends(results: Results) -> dict[str, str]:
    return {name: record["status"] for name, record in results.ended().items()}


def written(results: Results) -> list[dict[str, Any]]:
    text = (results.folder / "figures.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_step_that_fails_hangs_or_is_killed_costs_no_other_one(
    run: Callable[..., Results],
) -> None:
    results = run(
        script("wrong", f"{figure('before')}; import sys; sys.exit('a wrong hash')"),
        script("hangs", f"print('in the driver', flush=True)\n{HANGS}", seconds=0.3),
        script("late", f"{figure('kept')}; import time; time.sleep(600)", seconds=0.4),
        script("dies", "import os; os.abort()"),
        script("cannot", f"print('no such tool'); import sys; sys.exit({first_run.CANNOT})"),
        script("good", figure("after")),
    )
    assert ends(results) == {
        "wrong": "failed", "hangs": "out of time", "late": "out of time", "dies": "killed",
        "cannot": "skipped", "good": "passed",
    }  # fmt: skip
    ended = results.ended()
    assert ended["wrong"]["reason"] == "a wrong hash"
    assert ended["hangs"]["reason"] == "in the driver"
    assert ended["dies"]["reason"].startswith("by SIGABRT")
    assert ended["cannot"]["reason"] == "no such tool"
    assert [r["figure"] for r in written(results) if "figure" in r] == ["before", "kept", "after"]


def test_the_whole_run_keeps_its_limit(run: Callable[..., Results]) -> None:
    begun = time.monotonic()
    results = run(
        script("hangs", HANGS, seconds=600),
        script("no time", figure("never"), least=1.0),
        seconds=1.0,
    )
    assert ends(results) == {"hangs": "out of time"}
    assert time.monotonic() - begun < 30, "not the step's own limit of ten minutes"


def gate(code: str) -> Step:
    return replace(script("gate", code), always=True, is_gate=True)


def test_a_card_that_does_not_work_ends_the_run_at_once(run: Callable[..., Results]) -> None:
    results = run(gate("raise SystemExit('no driver')"), script("other", figure("never")))
    assert ends(results) == {"gate": "failed"}
    assert "| gate | failed |" in (results.folder / "report.md").read_text()


@pytest.mark.parametrize("code", [HANGS, "import os; os.abort()"])
def test_a_card_is_checked_again_after_a_step_that_hung_or_was_killed(
    run: Callable[..., Results], tmp_path: Path, code: str
) -> None:
    twice = f"import pathlib; p = pathlib.Path({str(tmp_path / 'twice')!r})\np.exists() and 1 / 0\n"
    results = run(
        gate(twice),
        script("good", figure("good")),
        script("breaks", f"{twice}p.touch()\n{code}", seconds=1.0),
        script("other", figure("never")),
    )
    assert {k: v for k, v in ends(results).items() if k != "breaks"} == {
        "gate": "failed", "good": "passed",
    }  # fmt: skip


def test_a_step_that_fails_in_order_does_not_check_the_card_again(
    run: Callable[..., Results],
) -> None:
    results = run(gate(figure("ready")), script("wrong", "1 / 0"), script("other", figure("after")))
    assert ends(results) == {"gate": "passed", "wrong": "failed", "other": "passed"}
    assert [r["figure"] for r in written(results) if "figure" in r] == ["ready", "after"]


def test_what_a_step_leaves_behind_is_killed_and_not_waited_for(
    run: Callable[..., Results], tmp_path: Path
) -> None:
    child = (
        f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {HANGS!r}]).pid)"
    )
    results = run(script("leaves", child))
    assert ends(results) == {"leaves": "passed"}
    left = int((tmp_path / "log.txt").read_text().splitlines()[-1])
    for _ in range(1000):
        stat = Path(f"/proc/{left}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            break
        os.sched_yield()
        time.sleep(0.01)
    else:
        os.kill(left, signal.SIGKILL)
        pytest.fail("the child of a step is still running")


def test_a_second_run_does_what_is_missing_and_then_what_failed(
    run: Callable[..., Results], tmp_path: Path
) -> None:
    good, bad = script("good", figure("good")), script("bad", "raise SystemExit('wrong')")
    skipped = script("skipped", f"raise SystemExit({first_run.CANNOT})")
    run(bad, good, skipped)
    results = run(bad, good, skipped, script("new", figure("new")))
    order = [record["step"] for record in written(results) if "status" in record]
    assert order == ["bad", "good", "skipped", "new", "bad"]
    results = run(bad, good, skipped, sources="changed")
    assert ends(results) == {"bad": "failed", "good": "passed", "skipped": "skipped"}
    assert "new" not in results.figures(), "of other sources"


def test_every_run_begins_with_what_the_other_steps_need(run: Callable[..., Results]) -> None:
    plan = (script("good", figure("good")), script("installs", figure("there"), always=True))
    run(*plan)
    results = run(*plan, script("new", figure("new")))
    order = [record["step"] for record in written(results) if "status" in record]
    assert order == ["installs", "good", "installs", "new"]


def test_a_step_is_given_its_time_and_the_figures_that_are_known(
    run: Callable[..., Results], tmp_path: Path
) -> None:
    first = f"{figure('a')}; print(json.dumps({{'figure': 'b', 'problem': 'wrong'}}))"
    code = "import sys; print(sys.argv[1:])"
    words = ("-c", code, "{device}", "{seconds}", "{known}")
    run(script("first", first), Step("shows", 10.0, "", words, 0.0))
    assert (tmp_path / "log.txt").read_text().splitlines()[-1] == str(["cuda:0", "8.0", '["a"]'])


def test_a_record_that_was_cut_off_spoils_no_other(
    run: Callable[..., Results], tmp_path: Path
) -> None:
    run(script("one", figure("one")))
    with (tmp_path / "figures.jsonl").open("a") as file:
        file.write('{"step": "two", "fig')
    results = Results.opened(tmp_path, ABOUT)
    assert results.due(["one", "two"]) == ["two"]
    results.add(step="two", status="passed", seconds=1, reason="")
    assert Results.opened(tmp_path, ABOUT).due(["one", "two"]) == []


def test_the_plan_fits_the_limit_without_what_is_left_for_last() -> None:
    names = [step.name for step in first_run.PLAN]
    assert len(set(names)) == len(names)
    needed = sum(step.seconds for step in first_run.PLAN[: names.index("large") + 1])
    assert needed + 30 <= first_run.SECONDS + 60, "most steps need less than their limit"
    for step in first_run.PLAN:
        assert (CHECKOUT / step.command[0]).exists()
        assert step.least <= step.seconds


# The report


def test_the_report_has_predictions_beside_what_was_measured(tmp_path: Path) -> None:
    results = Results.opened(tmp_path, ABOUT)
    results.add(step="rates", figure="rate cuda gpu 937863", value=200.0, unit="MH/s", power=512.25)
    results.add(step="exact", figure="exact kawpow", problem="a | b")
    results.add(step="mine", figure="shares that were invalid", value=0, unit="shares")
    results.add(step="rates", status="passed", seconds=12.5, reason="")
    text = report(results, ["rates", "mine"])
    assert "| rates | passed | 12.5 |  |" in text
    assert "| mine | missing |  |  |" in text
    assert (
        "| rate cuda gpu 937863 | 186 MH/s | simulation | 200 MH/s | 1.08 | power 512.2 |" in text
    )
    assert "| exact kawpow |  |  | failed |  | a / b |" in text
    assert "| shares that were invalid | 0 shares | exactness | 0 shares |  |  |" in text
    assert "| dataset cuda epoch 125 | ≤ 1 s |" in text


def test_the_page_has_the_predictions() -> None:
    page = (CHECKOUT / "docs/performance.md").read_text(encoding="utf-8")
    assert "\n".join(table({})) in page, "print it with benchmarks/first_run.py --predictions"


def test_predictions_of_shapes_are_for_shapes_that_exist() -> None:
    rows = json.loads(PREDICTIONS.read_text())["figures"]
    named = {
        row["figure"].split()[2] for row in rows if row["figure"].split()[0] in ("rate", "shape")
    }
    assert {shape_named(name).name for name in named} == named


# The steps


@pytest.mark.parametrize(
    ("outcomes", "good"),
    [
        ([(7499, "accepted"), (7501, "accepted"), (7501, "stale")], True),
        ([(7499, "accepted"), (7499, "accepted")], False),
        ([(7499, "accepted"), (7501, "accepted"), (7501, "invalid")], False),
        ([(7499, "accepted"), (7501, "accepted"), (7501, "low_difficulty")], False),
        ([(7499, "accepted"), (7501, "accepted"), (7501, "hardware")], False),
    ],
)
def test_mining_is_right_when_each_epoch_has_accepted_shares_and_none_is_wrong(
    tmp_path: Path, outcomes: list[tuple[int, str]], good: bool
) -> None:
    rig = LedgerRig(tmp_path / "ledger.sqlite")
    for height, outcome in outcomes:
        job = rig.job(height=height, epoch=KAWPOW.epoch_at(height))
        if outcome == "hardware":
            rig.refuted(job=job)
        else:
            rig.finished(Outcome(outcome), job=job)
    rig.ledger.close()
    assert card_checks.judged(rig.path, 2) == (not good)


def test_a_wrong_answer_is_recorded_and_the_other_variants_are_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def selftest(device: object, variant: Variant, answers: int | None) -> SelftestResult:
        wrong = "a wrong hash" if variant.name == "firopow" else None
        return SelftestResult("cuda:0", variant.name, 3, wrong)

    card = SimpleNamespace(open=lambda: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(card_checks, "selftest", selftest)
    monkeypatch.setattr(card_checks, "listed", lambda name: card)
    monkeypatch.setattr(card_checks, "build_ahead", lambda *_: None)
    assert card_checks.main(["exact", "cuda:0", "--known", '["exact kawpow"]']) == 1
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = {record["figure"]: record.get("problem") for record in records}
    others = variants().keys() - {"kawpow", "firopow"}
    assert found == {f"exact {name}": None for name in others} | {"exact firopow": "a wrong hash"}


def test_shapes_with_predictions_are_measured_first() -> None:
    rows = json.loads(PREDICTIONS.read_text())["figures"]
    ahead = {row["figure"].split()[2] for row in rows if row["figure"].startswith("shape cuda")}
    ordered = card_rates.in_order(iter(["some", "other", *ahead]))
    assert set(ordered[:-2]) == ahead


IN_FORKS = """
import os, sys, traceback
sys.path[:0] = ["benchmarks"]
import tests.harness.fake_driver_plugin
import card_checks, card_rates, first_run, limits

STEPS = {f"benchmarks/{m.__name__}.py": m.main for m in (card_checks, card_rates, limits)}

class Fork:
    def __init__(self, words):
        read, write = os.pipe()
        self.pid, self.code = os.fork(), None
        if not self.pid:
            os.setsid()
            os.dup2(write, 1)
            os.dup2(write, 2)
            code = 1
            try:
                code = STEPS[words[0]](words[1:])
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            os._exit(code)
        os.close(write)
        self.stdout = os.fdopen(read, "rb")

    def poll(self):
        if self.code is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if ended else None
        return self.code

    def wait(self, seconds):
        os.sched_yield()

epoch = card_checks.TOY.epoch_at(0)
light = card_checks.Light.of(epoch, card_checks.light_cache(epoch))
card_checks.Hasher(card_checks.TOY, 0, light).hash(bytes(32), 0)
scratch = first_run.Path(sys.argv[1])
os.environ.update(first_run.surroundings(scratch, None))
first_run.Run.start = lambda self, words: Fork(words)
sys.exit(first_run.main(sys.argv[2:]))
"""
"""Runs steps as forks of a process that has imported everything, to save most of their time."""


def test_the_whole_plan_on_a_simulated_card(tmp_path: Path) -> None:
    place = fake_driver.pycuda()
    if isinstance(place, str):
        pytest.skip(place)
    driver = fake_driver.built(tmp_path / "driver")
    environment = fake_driver.environment(driver, tmp_path)
    out = tmp_path / "results"
    scratch = tmp_path / "scratch"
    command = [sys.executable, "-c", IN_FORKS, scratch, out, "--rehearse", "--seconds", "3000"]
    done = captured(command, cwd=CHECKOUT, env=environment)
    print(done.stdout, (out / "log.txt").read_text())
    assert done.returncode == 1
    results = Results.opened(out, {"sources": first_run.sources(), "device": "cuda:0"})
    ended = ends(results)
    # The simulated driver measures no times.
    assert ended.pop("limits") == "failed"
    assert set(ended) | {"limits"} == {step.name for step in first_run.PLAN}
    assert {name for name, status in ended.items() if status == "skipped"} <= {
        "opencl",
        "sanitizer",
    }
    assert set(ended.values()) <= {"passed", "skipped"}
    figures = results.figures()
    assert figures["exact kawpow"]["value"] == 1
    assert figures["card"]["value"] == "NVIDIA Fake 3080"
    assert figures["rate cuda gpu mean"]["value"] > 0
    assert figures["shares that were invalid"]["value"] == 0
    assert (out / "report.md").read_text() in done.stdout
