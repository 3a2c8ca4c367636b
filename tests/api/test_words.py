"""No answer tells a stranger where anything lies on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from miner.api.words import without_paths
from miner.console import LogFile
from miner.errors import ConfigError
from miner.settings.secrets import first_line
from miner.telemetry import DeviceFault, Level, NewJob, PoolConnecting, PoolLost
from tests.api.conftest import Serve
from tests.fakes.rig import FIRST

READ = ["/readyz", "/api/v1/status", "/api/v1/pools", "/api/v1/devices", "/api/v1/events"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "cookie file /home/me/.raven/.cookie: cannot be read",
            "cookie file (path): cannot be read",
        ),
        ("cookie file conf dir/my cookie: is empty", "cookie file (path): is empty"),
        ("nothing changed: token file ~me/t: cannot", "nothing changed: token file (path): cannot"),
        ("/dev/full: the log cannot be written", "(path): the log cannot be written"),
        ("/home/my rig/a b/l.sqlite: 3 wait", "(path): 3 wait"),
        (
            "/var/lib/x/ledger.sqlite: the share ledger cannot be written: disk full",
            "(path): the share ledger cannot be written: disk full",
        ),
        ("recording /srv/said.jsonl: no space left", "recording (path): no space left"),
        (r"C:\Users\me\log.txt: the log", "(path): the log"),
        ("no kernel (see '/tmp/build log/x.txt')", "no kernel (see '(path)')"),
    ],
)
def test_paths_are_taken_out(text: str, told: str) -> None:
    assert without_paths(text) == told


@pytest.mark.parametrize(
    "text",
    [
        "lost stratum+tcp://pool.example:3333: the pool closed the connection",
        "http://127.0.0.1:4067/",
        "http://[::1]:8766 says 3/4 at 80.30 MH/s, 179 kH/W",
        "the settings file is read again: pools are new",
        "rejected, 42 ms cuda:0: low difficulty 1 / 2",
        "device 0000:01:00.0 or opencl:0.1",
    ],
)
def test_all_else_stays(text: str) -> None:
    assert without_paths(text) == text


async def test_no_source_of_sentences_tells_a_path(serve: Serve, tmp_path: Path) -> None:
    service = await serve()
    rig, missing = service.rig, tmp_path / "my files" / "secret"
    said: list[str] = []
    rig.journal.subscribe(lambda entry: said.append(entry.text))
    with pytest.raises(ConfigError) as token:
        first_line(missing, "token file")
    rig.journal.say("settings", f"nothing changed: {token.value}", Level.ERROR)
    lost = f"cookie file {missing}: cannot be read (No such file or directory)"
    rig.emit(PoolConnecting(FIRST), PoolLost(FIRST, lost, 1.0), NewJob(None))
    rig.emit(DeviceFault("cuda:0", f"a kernel did not compile: {missing}.log has the reason"))
    log = LogFile(
        missing, rig.telemetry, rig.journal, rig.clock, lambda t: rig.journal.say("log", t)
    )
    rig.journal.say("job", "is written")
    log.close()
    assert len([text for text in said if str(missing) in text]) == 4, said
    for address in READ:
        body = (await service.get(address)).body.decode()
        assert str(tmp_path) not in body, address
        assert "(path)" in body, address
