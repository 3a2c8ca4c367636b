"""No response contains a path of this machine."""

from __future__ import annotations

import timeit
from io import StringIO
from pathlib import Path
from time import process_time

import pytest

from miner.api.path_redaction import PathRedactor
from miner.console import LogFile
from miner.engine.threads import WorkPool
from miner.errors import ConfigError
from miner.net.address import PoolUrl
from miner.run.run_config import LiveConfig, LogConfig, ReloadedConfig, RunConfig
from miner.run.views import Views
from miner.safe_text import Redactor
from miner.settings.secrets import read_secret
from miner.telemetry import Level
from miner.telemetry.events import DeviceFault, NewJob, PoolConnecting, PoolLost
from tests.api.conftest import Serve, small_rig
from tests.fakes.clock import FakeClock
from tests.fakes.rig import FIRST
from tests.fakes.variants import KAWPOW

READ = ["/readyz", "/api/v1/status", "/api/v1/pools", "/api/v1/devices", "/api/v1/events"]


KNOWN = PathRedactor([
    "reldir/r.toml", "reldir/logs/x.log", "conf dir/my cookie", "/home/joe (old)",
    "/home/joe (old)/led, ger.db", "/opt/my rig", "r.toml", "log", "~me/t", "/",
])  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("reldir/logs/x.log: the log cannot be written", "(path): the log cannot be written"),
        ("nothing changed: reldir/r.toml: line 12", "nothing changed: (path): line 12"),
        ("nothing changed: r.toml: line 12", "nothing changed: (path): line 12"),
        (f"{Path.cwd()}/reldir/r.toml: line 12", "(path): line 12"),
        ("cookie file conf dir/my cookie: is empty", "cookie file (path): is empty"),
        ("nothing changed: token file ~me/t: cannot", "nothing changed: token file (path): cannot"),
        ("/home/joe (old)/x.db: disk full", "(path): disk full"),
        ("/home/joe (old)/led, ger.db: disk full", "(path): disk full"),
        ("no kernel (see '/opt/my rig/builds/x.txt')", "no kernel (see '(path)')"),
        ("/opt/my rig.corrupt-1 is kept", "(path) is kept"),
    ],
)
def test_known_paths_are_redacted(text: str, shown: str) -> None:
    assert KNOWN(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "cookie file /home/me/.raven/.cookie: cannot be read",
            "cookie file (path): cannot be read",
        ),
        ("/dev/full: the log cannot be written", "(path): the log cannot be written"),
        ("recording /srv/said.jsonl: no space left", "recording (path): no space left"),
        ("file=/2tb/said.jsonl and ~/x and ~me/y", "file=(path) and (path) and (path)"),
        ("/2/x.db or /.cache", "(path) or (path)"),
        (r"C:\Users\me\log.txt: the log", "(path): the log"),
        ("C:/Users/me/log.txt: the log", "(path): the log"),
        ("cannot open:/etc/x", "cannot open:(path)"),
        ("no kernel (see '/tmp/x.txt')", "no kernel (see '(path)')"),
    ],
)
def test_unknown_absolute_paths_are_redacted(text: str, shown: str) -> None:
    for paths in (PathRedactor(), KNOWN):
        assert paths(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "lost stratum+tcp://pool.example:3333: the pool closed the connection",
        "http://127.0.0.1:4067/",
        "http://[::1]:8766 says 3/4 at 80.30 MH/s, 179 kH/W",
        "the settings file is read again: pools are new",
        "the log is written again: log, r-toml",
        "rejected, 42 ms cuda:0: low difficulty 1 / 2",
        "each also with /2, /4, /8 or /16",
        "EthereumStratum/1.0.0 or /2.0.0, either / or /",
        "No such file: it ends",
        "device 0000:01:00.0 or opencl:0.1",
    ],
)
def test_other_texts_stay(text: str) -> None:
    for paths in (PathRedactor(), KNOWN):
        assert paths(text) == text


@pytest.mark.parametrize("part", ["/ ", "~", "/1", "~a/", "/a b", "file ", "reldir/", "a: /b"])
def test_redaction_takes_linear_time(part: str) -> None:
    """Long texts of a pool must not block the event loop."""

    def seconds(times: int) -> float:
        text = part * times
        return min(timeit.repeat(lambda: KNOWN(text), timer=process_time, number=1, repeat=5))

    # Eight times the text: 8 where it is linear, 64 where each place looks at all the rest.
    assert seconds(16000) < 30 * max(seconds(2000), 1e-4)


async def test_no_response_contains_a_path(serve: Serve, tmp_path: Path) -> None:
    missing = tmp_path / "my files" / "secret"
    service = await serve(context={"redact": PathRedactor([missing.parent])})
    rig = service.rig
    said: list[str] = []
    rig.journal.subscribe(lambda entry: said.append(entry.text))
    with pytest.raises(ConfigError) as token:
        read_secret(missing, "token file")
    rig.journal.add("settings", f"nothing changed: {token.value}", Level.ERROR)
    lost = f"cookie file {missing}: cannot be read (No such file or directory)"
    rig.emit(PoolConnecting(FIRST), PoolLost(FIRST, lost, 1.0), NewJob(None))
    rig.emit(DeviceFault("cuda:0", f"a kernel did not compile: {missing}.log has the reason"))
    log = LogFile(
        missing,
        rig.telemetry,
        rig.journal,
        rig.clock,
        lambda t: rig.journal.add("log", t),
        Redactor(), "text", 10**6, 5,
    )  # fmt: skip
    rig.journal.add("job", "is written")
    log.close()
    assert len([text for text in said if str(missing) in text]) == 4, said
    for address in READ:
        body = (await service.get(address)).body.decode()
        assert str(tmp_path) not in body, address
        assert "files" not in body, address
        assert "(path)" in body, address


async def test_the_refusal_of_a_reload_contains_no_path(serve: Serve) -> None:
    service = await serve(context={"redact": PathRedactor(["rigs/my.toml"])})
    service.control.problem = "rigs/my.toml: line 3: unknown key"
    assert (await service.post("/reload")).error == "(path): line 3: unknown key"


def test_the_paths_of_a_run_are_known_to_its_redactor(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, place in [("HOME", "/h m"), ("CACHE", "c c/d"), ("STATE", "s s/d")]:
        monkeypatch.setenv(name if name == "HOME" else f"PROGPOW_MINER_{name}", place)
    rig, clock = small_rig(), FakeClock()
    mining = RunConfig(
        KAWPOW, (), LiveConfig(()), record=Path("in/said.jsonl"),
        log=LogConfig(file=Path("in/x.log")),
        fixed={"api.token_file": Path("my/token")}, private_files=(Path("in/rig.toml"),),
    )  # fmt: skip
    with WorkPool("disk", 1) as disk:
        views = Views(mining, rig.telemetry, rig.journal, clock, StringIO(), disk, Redactor())
    shown = "in/said.jsonl, in/x.log, my/token, in/rig.toml, /h m/x, c c/d/x, s s/d/x, else/x"
    assert views._redact_paths(shown) == f"{'(path), ' * 7}else/x"
    pool = PoolUrl("h", 1, "u", cookie_file="new/cookie", ca_file="new/ca")
    views.hide_paths(
        ReloadedConfig(
            LiveConfig((pool,)), {"record": Path("b.jsonl")}, private_files=(Path("p/w"),)
        )
    )
    added = "new/cookie, new/ca, b.jsonl, p/w"
    assert views._redact_paths(f"{shown}, {added}") == f"{'(path), ' * 7}else/x{', (path)' * 4}"
