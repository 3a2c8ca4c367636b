"""The results of the first run on a card: records on disk, and the report."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PREDICTIONS = Path(__file__).parent / "results" / "predictions.json"

PASSED, SKIPPED, MISSING = "passed", "skipped", "missing"
"""Statuses of a step; all others are failures."""


def figure(name: str, value: float | str | None, unit: str = "", **more: Any) -> None:
    """Print a figure as a record for the run."""
    print(json.dumps({"figure": name, "value": value, "unit": unit, **more}), flush=True)


def problem(name: str, text: str) -> None:
    """Print why a figure could not be measured or is wrong."""
    print(json.dumps({"figure": name, "problem": text}), flush=True)


@dataclass
class Results:
    """The records of one folder. Those of other sources or of another device are kept, but not
    used."""

    folder: Path
    about: dict[str, str]
    """Sources and device of this run."""
    records: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def opened(cls, folder: Path, about: dict[str, str]) -> Results:
        """Read the existing records."""
        folder.mkdir(parents=True, exist_ok=True)
        results = cls(folder, about)
        path, ours = folder / "figures.jsonl", False
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text and not text.endswith("\n"):  # the run was killed while it wrote
            path.write_text(text + "\n", encoding="utf-8")
        for line in text.splitlines():
            record = parsed(line)
            if "run" in record:
                ours = record["run"].get("about") == about
            elif ours:
                results.records.append(record)
        return results

    def add(self, **record: Any) -> None:
        """Append a record; it is on the disk when this returns."""
        self.records.append(record)
        with (self.folder / "figures.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def log(self, text: str) -> None:
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(text)

    def ended(self) -> dict[str, dict[str, Any]]:
        """Return the last end of each step, by name."""
        return {record["step"]: record for record in self.records if "status" in record}

    def figures(self) -> dict[str, dict[str, Any]]:
        """Return the last record of each figure, by name."""
        return {record["figure"]: record for record in self.records if "figure" in record}

    def due(self, names: Sequence[str]) -> list[str]:
        """Return the steps to run: the missing ones, then those that did not succeed."""
        ended = {name: record["status"] for name, record in self.ended().items()}
        missing = [name for name in names if name not in ended]
        done = (PASSED, SKIPPED)
        return missing + [name for name in names if ended.get(name, PASSED) not in done]


def parsed(line: str) -> dict[str, Any]:
    """Return the JSON object of a line; empty for any other line."""
    with suppress(ValueError):
        found = json.loads(line)
        if isinstance(found, dict):
            return found
    return {}


def table(figures: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield a Markdown table of the predictions beside `figures`, those without one last; without
    figures, the table of the predictions alone."""
    predicted = json.loads(PREDICTIONS.read_text(encoding="utf-8"))["figures"]
    ahead = ("figure", "predicted", "by")
    columns = (*ahead, "measured", "measured ÷ predicted", "note") if figures else ahead
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    rows = predicted + [
        {"figure": name} for name in figures if name not in {row["figure"] for row in predicted}
    ]
    for row in rows:
        cells = [row["figure"], _predicted(row), row.get("by", "")]
        if figures:
            cells += _measured(row, figures.get(row["figure"], {}))
        yield f"| {' | '.join(cells)} |"


def _predicted(row: Mapping[str, Any]) -> str:
    if "predicted" not in row:
        return ""
    sign = {"most": "≤ ", "least": "≥ "}.get(row.get("bound", ""), "")
    return f"{sign}{row['predicted']:g} {row['unit']}".rstrip()


def _measured(row: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    if "problem" in found:
        return ["failed", "", found["problem"].replace("|", "/")]
    value = found.get("value")
    number = isinstance(value, int | float)
    shown = f"{value:.4g} {found['unit']}".rstrip() if number else str(value or "")
    ratio = f"{value / row['predicted']:.2f}" if number and row.get("predicted") else ""
    notes = [
        f"{name} {found[name]:.4g}" if isinstance(found[name], float) else f"{name} {found[name]}"
        for name in found
        if name not in ("step", "figure", "value", "unit")
    ]
    return [shown, ratio, ", ".join(notes)]


def write_report(results: Results, steps: Sequence[str]) -> str:
    """Write the report to its file, and return it."""
    text = report(results, steps)
    (results.folder / "report.md").write_text(text, encoding="utf-8")
    return text


def report(results: Results, steps: Sequence[str]) -> str:
    """Return the report in Markdown."""
    card = json.loads(PREDICTIONS.read_text(encoding="utf-8"))["card"]
    ended = results.ended()
    lines = [
        f"# First run: {results.about['device']}", "",
        f"Sources {results.about['sources']}. The predictions are for {card}.", "",
        "| step | end | seconds | reason |", "|---|---|---|---|",
    ]  # fmt: skip
    for step in steps:
        end = ended.get(step, {"status": MISSING, "seconds": "", "reason": ""})
        reason = end["reason"].replace("|", "/")
        lines.append(f"| {step} | {end['status']} | {end['seconds']} | {reason} |")
    return "\n".join([*lines, "", *table(results.figures()), ""])
