"""The Grafana board and the alerts query existing metrics with valid PromQL."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families as parse_text

from miner.api.metric_series import LEAN
from miner.api.metrics import metrics
from miner.sensors import nvidia, sysfs
from miner.settings.model import ApiSettings
from miner.telemetry import Reading, Snapshot
from miner.telemetry.events import DatasetBuilding, SensorsRead, SettingsRead
from miner.work import Outcome
from tests.fakes.rig import ONE, busy_rig, rig_of
from tests.harness.child import captured

CHECKOUT = Path(__file__).parents[2]
BOARD = json.loads((CHECKOUT / "packaging/grafana/progpow-miner.json").read_text("utf-8"))
ALERTS = CHECKOUT / "packaging/grafana/alerts.yml"
EVERY_RULE = [r for g in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"] for r in g["rules"]]
RULES = [rule for rule in EVERY_RULE if "alert" in rule]
RECORDED = {rule["record"] for rule in EVERY_RULE if "record" in rule}
PAGE = (CHECKOUT / "docs/metrics.md").read_text("utf-8")
PROMTOOL = shutil.which("promtool")
ABSENT = "promtool is not on the path (Debian: package prometheus)"

OF_PROMETHEUS = {"instance", "job", "le"}
RECORDED_NAME = r"\b[a-z_]+:progpow_miner_[a-z_]+:\w+"
"""Labels that Prometheus adds, and the one of histogram buckets."""

Series = dict[str, list[dict[str, str]]]

PLOTS_OF_CARDS = {
    "Slowest devices", "Highest temperatures", "Fastest fans", "Highest clocks", "Highest power",
    "Most faults, and throttling",
}  # fmt: skip


def panels() -> Iterator[dict[str, Any]]:
    for panel in BOARD["panels"]:
        yield panel
        yield from panel.get("panels", [])


def variables() -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in BOARD["templating"]["list"]}


def plain(expression: str) -> str:
    """Return the expression with Grafana's variables substituted."""
    durations = {"__rate_interval": "1m", "__interval": "1m", "__range": "6h"}
    for name, value in (durations | dict.fromkeys(variables(), ".*")).items():
        expression = expression.replace(f"${name}", value)
    return expression


def chosen_cards() -> dict[str, str]:
    """Return the expression of each hidden variable, which chooses the rigs that a plot reads."""
    queries = {n: v["query"]["query"] for n, v in variables().items() if v["hide"] == 2}
    return {name: re.sub(r"^query_result\((.*)\)$", r"\1", q) for name, q in queries.items()}


def board_expressions() -> list[str]:
    asked = [target["expr"] for panel in panels() for target in panel.get("targets", [])]
    annotations = [a["expr"] for a in BOARD["annotations"]["list"] if "expr" in a]
    return [plain(text) for text in [*asked, *annotations, *chosen_cards().values()]]


def page_expressions() -> list[str]:
    blocks = re.findall(r"^```promql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


EXPRESSIONS = [*board_expressions(), *(rule["expr"] for rule in EVERY_RULE), *page_expressions()]


def exposed_names(expression: str) -> list[str]:
    """Return the metrics of the miner in the expression, without those that rules record."""
    return re.findall(r"\bprogpow_miner_\w+", re.sub(RECORDED_NAME, "", expression))


@lru_cache
def families() -> list[Metric]:
    """Return every metric with all series that a rig can expose."""

    async def busy() -> Snapshot:
        rig = await busy_rig()
        rig.emit(DatasetBuilding(ONE.name, 400, 0.5, 1.0, 1))
        reasons = {**sysfs.REASONS, **dict(nvidia.THROTTLE_REASONS)}.values()
        rig.emit(SensorsRead(ONE.name, Reading(throttle=", ".join(sorted(set(reasons))))))
        return rig.telemetry.snapshot()

    return list(parse_text(metrics(asyncio.run(busy())).decode()))


@pytest.fixture(scope="module")
def exposed_series() -> Series:
    """The labels of every series by metric."""
    found: Series = {}
    for family in families():
        for sample in family.samples:
            found.setdefault(sample.name, []).append(dict(sample.labels))
    return found


def test_expressions_are_found() -> None:
    assert len(board_expressions()) > 40
    assert len(RULES) > 8
    assert len(page_expressions()) > 8


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_queried_metric_exists(expression: str, exposed_series: Series) -> None:
    names, recorded = exposed_names(expression), set(re.findall(RECORDED_NAME, expression))
    assert names or recorded or expression.startswith("up{")
    assert recorded <= RECORDED
    for name in names:
        assert name in exposed_series, name


def test_the_lean_metrics_are_those_of_the_rules_and_the_first_row() -> None:
    row = itertools.takewhile(lambda p: p["title"] != "Devices", BOARD["panels"])
    asked = [t["expr"] for panel in row for t in panel.get("targets", [])]
    asked += [rule["expr"] for rule in EVERY_RULE]
    names = {name for expression in asked for name in exposed_names(expression)}
    assert names <= {f"progpow_miner_{name}" for name in LEAN | {"info", "device_info"}}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_queried_label_can_match(expression: str, exposed_series: Series) -> None:
    for name, matchers in re.findall(r"\b(progpow_miner_\w+)\{([^}]*)\}", expression):
        for label, kind, value in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', matchers):
            if label in OF_PROMETHEUS:
                continue
            known = {series[label] for series in exposed_series[name]}
            for each in value.split("|") if kind == "=~" else [value]:
                # The rig of these tests has no CPU as a device.
                assert each in known | {".*", "cpu"}, f"{name}: {label}={each}"


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_grouping_labels_exist(expression: str, exposed_series: Series) -> None:
    known = {label for series in exposed_series.values() for labels in series for label in labels}
    for words in re.findall(r"\b(?:by|on|ignoring|group_left) \(([^)]*)\)", expression):
        assert set(words.split(", ")) <= known | OF_PROMETHEUS


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_brackets_are_balanced_and_variables_known(expression: str) -> None:
    assert expression.count('"') % 2 == 0
    bare = re.sub(r'"[^"]*"', '""', expression)
    assert "$" not in expression
    pairs = {")": "(", "]": "[", "}": "{"}
    open_ones: list[str] = []
    for sign in re.findall(r"[][(){}]", bare):
        if sign in pairs:
            assert open_ones, expression
            assert open_ones.pop() == pairs[sign], expression
        else:
            open_ones.append(sign)
    assert not open_ones


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_counters_are_queried_as_rates_and_gauges_are_not(
    expression: str, exposed_series: Series
) -> None:
    since_start = "progpow_miner_shares_(found|expected)_total"
    for function, name in re.findall(r"(\w*)\(?\b(progpow_miner_\w+)", expression):
        if re.search(rf":{name}", expression):
            continue
        counted = name.endswith(("_total", "_bucket"))
        if re.fullmatch(since_start, name) and function == "sum":
            continue
        assert (function in ("rate", "increase")) == counted, (function, name)


def test_the_board_has_the_fields_that_grafana_requires() -> None:
    assert (BOARD["id"], BOARD["uid"]) == (None, "progpow-miner")
    assert BOARD["schemaVersion"] >= 39
    numbers = [panel["id"] for panel in panels()]
    assert len(set(numbers)) == len(numbers)
    titles = [panel["title"] for panel in panels() if panel["type"] != "row"]
    assert len(set(titles)) == len(titles)
    rows = [panel["title"] for panel in panels() if panel["type"] == "row"]
    assert rows == ["Overview", "Worst cards", "Devices", "Pools", "Work", "Luck"]
    for panel in panels():
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            letters = [target["refId"] for target in panel["targets"]]
            assert len(set(letters)) == len(letters)


def test_the_number_of_queries_does_not_grow_with_the_rigs() -> None:
    assert not [panel["title"] for panel in panels() if "repeat" in panel]


def test_every_query_has_a_bounded_result() -> None:
    """One series, one for each pool or bucket, or the highest or lowest ones of rigs or cards. A
    plot chooses these once, at its end: a choice at each point would have no bound."""
    for panel in panels():
        for target in panel.get("targets", []):
            expression = plain(target["expr"])
            best = re.search(
                r"(^| and | and on \(instance, device\) )(?:top|bottom)k\((\d+), ", expression
            )
            if best:
                assert int(best[2]) <= 200, expression
                assert target.get("instant") or (best[1] and "@ end()" in expression), expression
            else:
                assert re.match(r"(\d+ \* )?\w+ ?(by \((le|pool)\) )?\(", expression), expression
                assert not re.search(r"\bby \([^)]*(instance|device)", expression), expression


def test_recorded_values_are_never_too_old_for_a_query() -> None:
    """Prometheus looks back 5 minutes for the newest value."""
    for group in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]:
        minutes = re.fullmatch(r"(\d)m", group.get("interval", "1m"))
        assert minutes, group["name"]
        assert int(minutes[1]) < 5, group["name"]


def test_the_overview_reads_few_series_of_each_rig(exposed_series: Series) -> None:
    """Recorded ones, by rig, or by rig, pool and outcome."""
    of_rig = {
        "instance": 1, "instance_outcome": len(Outcome), "instance_pool_outcome": len(Outcome),
    }  # fmt: skip
    most = 0
    for panel in itertools.takewhile(lambda p: p["title"] != "Worst cards", BOARD["panels"]):
        for target in panel.get("targets", []):
            raw = exposed_names(target["expr"])
            assert all(len(exposed_series[name]) == 1 for name in raw), panel["title"]
            recorded = re.findall(RECORDED_NAME, target["expr"])
            levels = [of_rig[name.partition(":")[0]] for name in recorded]
            most = max(most, len(raw) + sum(levels))
    page = (CHECKOUT / "docs/howto/farm.md").read_text("utf-8")
    told = re.search(r"\*Overview\* reads at most (\d+) series of each rig with one pool", page)
    assert told
    assert most == int(told[1])


def series_of(cards: int, lean: bool) -> int:
    """Return the number of series of a rig with one pool."""
    rig = rig_of(cards)
    rig.emit(SettingsRead(digest="5f70bf18a086"))
    lines = metrics(rig.telemetry.snapshot(), lean).splitlines()
    return sum(not line.startswith(b"#") for line in lines)


@pytest.mark.parametrize("path", ["/metrics", "/metrics?lean=1"])
def test_the_page_on_farms_counts_the_series(path: str) -> None:
    page = (CHECKOUT / "docs/howto/farm.md").read_text("utf-8")
    row = re.search(rf"^\| `{re.escape(path)}` \| (\d+) \| (\d+) \|", page, re.MULTILINE)
    assert row
    seven, eight = (series_of(cards, lean="lean" in path) for cards in (7, 8))
    assert row.groups() == (str(eight), str(eight - seven))


def test_the_rows_of_a_table_can_be_joined() -> None:
    """Grafana joins rows whose common columns are equal; the metric's name is a column."""
    for panel in panels():
        expressions = [target["expr"] for target in panel.get("targets", [])]
        if panel["type"] == "table" and len(expressions) > 1:
            for expression in expressions:
                grouped = re.match(r"(?:bottomk\(50, )?(?:sum|max) by \(([^)]*)\)", expression)
                assert grouped, expression
                assert grouped[1].startswith("instance, device")


def test_panels_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in taken, (panel["title"], taken.get((x, y)))
                taken[x, y] = panel["title"]


def test_the_data_source_can_be_chosen() -> None:
    assert variables()["datasource"]["type"] == "datasource"
    text = json.dumps(BOARD)
    assert set(re.findall(r'"type": "prometheus", "uid": "([^"]*)"', text)) == {"${datasource}"}
    for panel in panels():
        if panel["type"] != "row":
            for part in (panel, *panel["targets"]):
                assert part["datasource"]["uid"] == "${datasource}"


def test_rig_and_device_can_be_chosen_everywhere() -> None:
    assert list(variables()) == ["datasource", "rig", "device", *chosen_cards()]
    for name in ("rig", "device"):
        assert variables()[name]["multi"]
        assert variables()[name]["includeAll"]
        assert variables()[name]["allValue"] == ".*"
    for panel in panels():
        for target in panel.get("targets", []):
            (rigs,) = set(re.findall(r'instance=~"\$(\w+)"', target["expr"]))
            assert rigs == "rig" or 'instance=~"$rig"' in chosen_cards()[rigs], panel["title"]


def test_a_plot_of_cards_reads_only_the_rigs_of_those_that_it_shows() -> None:
    """A query over a time reads every point of every series that it selects, not only the points
    of the cards that it shows."""
    plots = [panel for panel in panels() if panel["title"] in PLOTS_OF_CARDS]
    assert len(plots) == len(PLOTS_OF_CARDS)
    for panel in plots:
        for target in panel["targets"]:
            read, _, shown = target["expr"].partition(" and ")
            (rigs,) = set(re.findall(r'instance=~"\$(\w+)"', target["expr"]))
            chosen = chosen_cards()[rigs].replace('"$rig"', f'"${rigs}"')
            assert chosen.startswith(("topk(20, ", "bottomk(20, "))
            assert shown.replace(" @ end()", "").removeprefix("on (instance, device) ") == chosen
            assert f"${rigs}" in read


def test_variables_query_existing_metrics(exposed_series: Series) -> None:
    for name in ("rig", "device"):
        query = variables()[name]["query"]["query"]
        assert query == variables()[name]["definition"]
        (metric,) = re.findall(r"progpow_miner_\w+", query)
        assert metric in exposed_series
    (label,) = re.findall(r", (\w+)\)$", variables()["device"]["query"]["query"])
    assert all(label in labels for labels in exposed_series["progpow_miner_device_info"])


@pytest.mark.parametrize(
    ("series", "found"),
    [
        (
            '{coin="RVN",instance="10.0.0.1:4067",job="m",rig="rig1",version="1"} 1 1',
            ("10.0.0.1:4067", "rig1"),
        ),
        ('{instance="10.0.0.1:4067",job="m",version="1"} 1 1', ("10.0.0.1:4067", None)),
    ],
)
def test_a_rig_is_displayed_by_name_and_selected_by_address(
    series: str, found: tuple[str, str | None]
) -> None:
    regex = variables()["rig"]["regex"].strip("/").replace("(?<", "(?P<")
    match = re.search(regex, "progpow_miner_info" + series)
    assert match
    assert (match["value"], match["text"]) == found


def test_legend_labels_exist(exposed_series: Series) -> None:
    known = {label for series in exposed_series.values() for labels in series for label in labels}
    for panel in panels():
        for target in panel.get("targets", []):
            labels = re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", ""))
            assert set(labels) <= known | OF_PROMETHEUS
            grouped = re.match(r"^(?:\w+\(\d+, )?sum by \(([^)]*)\)", target["expr"])
            if grouped:
                assert set(labels) <= set(grouped[1].split(", "))


def test_every_alert_has_severity_and_annotations() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert "$labels.instance" in rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")
        for label in re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])):
            grouped = re.search(r"\b(?:sum|max|count) by \(([^)]*)\)", rule["expr"])
            assert not grouped or label in grouped[1].split(", "), (rule["alert"], label)


def test_the_page_lists_exactly_the_metrics() -> None:
    """Name, kind, labels and meaning, in the order of their exposition."""
    wanted = [
        (
            family.name + ("_total" if family.type == "counter" else ""),
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"algorithm", "le"},
            family.documentation,
        )
        for family in families()
        if family.name.startswith("progpow_miner_")
    ]
    rows = re.findall(r"^\| `(progpow_miner_\w+)` \| (\w+) \|(.*?)\| (.*?) \|$", PAGE, re.MULTILINE)
    assert [
        (name, kind, set(re.findall(r"`(\w+)`", labels)), meaning)
        for name, kind, labels, meaning in rows
    ] == wanted


def test_the_page_lists_the_process_metrics(exposed_series: Series) -> None:
    listed = set(re.findall(r"`(process_\w+)`", PAGE))
    assert listed == {name for name in exposed_series if name.startswith("process_")}


def test_the_page_lists_all_label_values(exposed_series: Series) -> None:
    words = {
        labels[label]
        for series in exposed_series.values()
        for labels in series
        for label in ("outcome", "state", "window", "sensor", "clock", "bound")
        if label in labels
    }
    for word in words:
        assert f"`{word}`" in PAGE, word


def test_the_page_scrapes_where_the_miner_listens() -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (job,) = yaml.safe_load(block)["scrape_configs"]
    targets = job["static_configs"][0]["targets"]
    assert targets[0] == ApiSettings().listen
    assert "metrics_path" not in job, "the default is /metrics"


def promtool(*words: str | Path) -> None:
    if PROMTOOL is None:
        pytest.skip(ABSENT)
    done = captured([PROMTOOL, *words], timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_accepts_the_alerts() -> None:
    promtool("check", "rules", ALERTS)


def test_promtool_accepts_every_expression(tmp_path: Path) -> None:
    rules = [{"record": f"asked:{n}", "expr": text} for n, text in enumerate(EXPRESSIONS)]
    path = tmp_path / "asked.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}), "utf-8")
    promtool("check", "rules", path)


def test_promtool_accepts_the_scrape_configuration(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    path = tmp_path / "prometheus.yml"
    path.write_text(f"rule_files: [{ALERTS}]\n{block}", "utf-8")
    promtool("check", "config", path)


HOSTILE_HOUR: list[tuple[str, str, str]] = [
    ('up{instance="never-up",job="progpow-miner"}', "0x3000", "MinerDown"),
    ('info{instance="gone"}', "1x10 _x200", "MinerGone"),
    ('devices_expected{instance="one-named-card-absent"}', "12x200", "MinerDeviceMissing"),
    ('devices_present{instance="one-card-lost"}', "12x10 11x200", "MinerDeviceMissing"),
    (
        'device_info{instance="on-cpu",device="cpu",kind="cpu",algorithm="a",model="c"}',
        "_x10 1x200",
        "MinerOnProcessor",
    ),
    (
        'hashes_total{instance="slower",device="d",algorithm="a"}',
        "0+600x30 18000+210x200",
        "MinerDeviceSlow",
    ),
    (
        'hashes_total{instance="always-slow",device="d",algorithm="a"}',
        "0+200x200",
        "MinerDeviceSlow",
    ),
    (
        'device_throttled{instance="throttled",device="d",reason="temperature"}',
        "1x200",
        "MinerDeviceThrottled",
    ),
    ('settings_reload_failed{instance="mistaken"}', "1x200", "MinerNotReloaded"),
    ('settings_pending{instance="not-restarted"}', "3x200", "MinerNotReloaded"),
    (
        'hashrate_hashes_per_second{instance="idle",window="60s"}',
        "0x200",
        "MinerNoHashrate",
    ),
    ('job_known{instance="jobless"}', "0x200", "MinerNoJob"),
    ('pool_connected{instance="alone",pool="p"}', "0x200", "MinerPoolLost"),
    ('pool_losses_total{instance="shaky",pool="p"}', "0+1x200", "MinerPoolFlapping"),
    (
        'device_state{instance="broken",device="d",state="hung"}',
        "1x200",
        "MinerDeviceParked",
    ),
    (
        'device_state{instance="slow",device="d",state="building"}',
        "1x200",
        "MinerDeviceIdle",
    ),
    (
        'device_temperature_celsius{instance="hot",device="d",sensor="memory"}',
        "106x200",
        "MinerDeviceHot",
    ),
    (
        'shares_total{instance="wrong",device="d",pool="p",outcome="hardware"}',
        "0+1x200",
        "MinerUntrueClaims",
    ),
    (
        'shares_total{instance="refused",device="d",pool="p",outcome="invalid"}',
        "0+1x200",
        "MinerSharesRejected",
    ),
    (
        'shares_total{instance="late",device="d",pool="p",outcome="not_sent"}',
        "0+1x200",
        "MinerSharesStale",
    ),
    (
        'shares_expected_total{instance="lying",device="d"}',
        "0+1x200",
        "MinerTooFewShares",
    ),
]
"""Series (without the prefix), their values by minute, and the alert that they raise."""

GOOD_HOUR = [
    *(
        (f'{name}{{instance="{rig}",device="d",algorithm="a"{labels}}}', values)
        for rig, values in (
            ("good", "1x200"),
            ("same", "1x200"),
            ("slower", "1x200"),
            ("always-slow", "1x200"),
        )
        for name, labels in (
            ("device_info", ',kind="gpu",model="m"'),
            ("device_state", ',state="searching"'),
        )
    ),
    ('hashes_total{instance="good",device="d",algorithm="a"}', "0+600x200"),
    ('hashes_total{instance="same",device="d",algorithm="a"}', "0+590x200"),
    ('device_info{instance="on-cpu",device="d",kind="gpu",algorithm="a",model="m"}', "1x10 _x200"),
    ('devices_present{instance="one-named-card-absent"}', "11x200"),
    ('devices_present{instance="good"}', "2x200"),
    ('devices_expected{instance="good"}', "2x200"),
    ('device_throttled{instance="good",device="d",reason="power limit"}', "1x200"),
    ('settings_reload_failed{instance="good"}', "0x200"),
    ('settings_pending{instance="good"}', "0x200"),
    ('up{instance="good",job="mining/rig-progpow-miner",pod="old"}', "1x30 _x200"),
    ('up{instance="good",job="mining/rig-progpow-miner",pod="new"}', "_x35 1x200"),
    ('info{instance="good",pod="old"}', "1x30 _x200"),
    ('info{instance="good",pod="new"}', "_x35 1x200"),
    ('hashrate_hashes_per_second{instance="good",window="60s"}', "3e7x200"),
    ('job_known{instance="good"}', "1x200"),
    ('pool_connected{instance="good",pool="p"}', "1x200"),
    ('pool_connected{instance="good",pool="spare"}', "0x200"),
    ('pool_losses_total{instance="good",pool="p"}', "0x100 1x100"),
    ('device_state{instance="good",device="d",state="hung"}', "0x200"),
    ('device_state{instance="good",device="d",state="building"}', "0x200"),
    (
        'device_temperature_celsius{instance="good",device="d",sensor="core"}',
        "70x200",
    ),
    (
        'shares_total{instance="good",device="d",pool="p",outcome="accepted"}',
        "0+2x200",
    ),
    (
        'shares_total{instance="good",device="d",pool="p",outcome="stale"}',
        "0x100 1x100",
    ),
    ('shares_total{instance="good",device="d",pool="p",outcome="invalid"}', "0x200"),
    ('shares_total{instance="good",device="d",pool="p",outcome="hardware"}', "0x200"),
    ('shares_found_total{instance="good",device="d"}', "0+2x200"),
    ('shares_expected_total{instance="good",device="d"}', "0+2x200"),
    ('shares_found_total{instance="lying",device="d"}', "0x200"),
]


def test_each_alert_fires_only_on_its_condition(tmp_path: Path) -> None:
    assert {alert for _, _, alert in HOSTILE_HOUR} == {rule["alert"] for rule in RULES}
    series = [*((name, values) for name, values, _ in HOSTILE_HOUR), *GOOD_HOUR]
    samples = [
        {
            "expr": 'count by (alertname, instance) (ALERTS{alertstate="firing"})',
            "eval_time": "60m",
            "exp_samples": [
                {"labels": f'{{alertname="{alert}", {instance}}}', "value": 1}
                for name, _, alert in HOSTILE_HOUR
                for instance in re.findall(r'instance="[\w-]+"', name)
            ],
        }
    ]
    path = tmp_path / "hour.yml"
    test = {
        "interval": "1m",
        "input_series": [
            {
                "series": name if name.startswith("up{") else f"progpow_miner_{name}",
                "values": values,
            }
            for name, values in series
        ],
        "promql_expr_test": samples,
    }
    # A rig that is listed stays reported; one that was removed is forgotten after a day.
    samples.append(
        {
            "expr": 'count by (alertname) (ALERTS{alertname=~"MinerDown|MinerGone"})',
            "eval_time": "40h",
            "exp_samples": [{"labels": '{alertname="MinerDown"}', "value": 1}],
        }
    )
    hour = {"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [test]}
    path.write_text(yaml.safe_dump(hour), "utf-8")
    promtool("test", "rules", path)
