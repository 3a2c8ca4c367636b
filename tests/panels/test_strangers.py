"""Whoever may look at a panel learns no wallet, no password and no token."""

from __future__ import annotations

import pytest

from miner.panels.ethminer_rpc import EthminerSession
from miner.telemetry import (
    DeviceFault,
    DeviceHanging,
    DevicePaused,
    DeviceResting,
    PoolConnecting,
    PoolLost,
    PoolNotice,
    PoolReady,
    Telemetry,
)
from miner.work import Outcome
from tests.fakes.clock import FakeClock
from tests.fakes.rig import FIRST, ONE, SECOND, ZERO, Rig, job
from tests.panels.rigs import POOL, context_of, told
from tests.panels.views import everything

SECRET = "RWalletOrPasswordOfTheOwner"


async def test_what_pools_and_drivers_say_in_their_own_words_is_kept_back() -> None:
    rig = Rig()
    rig.emit(*POOL, PoolNotice(FIRST, f"{SECRET} is low on balance"))
    rig.share(ZERO.name, job(), Outcome.UNAUTHORIZED, f"{SECRET} is no account here")
    rig.emit(
        PoolLost(FIRST, f"login of {SECRET} refused", 1.0),
        PoolConnecting(SECOND),
        PoolReady(SECOND),
        PoolLost(SECOND, f"login of {SECRET} refused", None),
        DeviceFault(ZERO.name, f"log in /home/{SECRET}/build.log"),
        DevicePaused(ZERO.name, f"asked for by {SECRET}"),
        DeviceResting(ONE.name, f"see /home/{SECRET}", None),
    )
    for name, answer in everything(rig.telemetry.snapshot()).items():
        assert SECRET.encode() not in answer, name


def test_nor_does_a_device_that_hangs_tell_where_files_lie() -> None:
    snapshot = told(*POOL, DeviceHanging(ZERO.name, f"see /home/{SECRET}"))
    for name, answer in everything(snapshot).items():
        assert SECRET.encode() not in answer, name


@pytest.mark.parametrize("given", [SECRET, SECRET + "x", ""])
def test_the_token_is_never_repeated(given: str) -> None:
    rpc = EthminerSession(context_of(Telemetry(FakeClock()), FakeClock()), SECRET)
    asked = f'{{"id":1,"method":"api_authorize","params":{{"psw":"{given}"}}}}\n'
    answer = rpc.receive(asked.encode() + b'{"id":2,"method":"miner_getstatdetail"}\n')
    assert answer.count(b"\n") == 2
    assert SECRET.encode() not in answer
