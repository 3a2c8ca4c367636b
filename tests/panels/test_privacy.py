"""No answer contains a wallet, a password, a token or a path."""

from __future__ import annotations

import pytest

from miner.panels.ethminer_rpc import EthminerSession
from miner.telemetry import Telemetry
from miner.telemetry.events import (
    DeviceFault,
    DeviceHanging,
    DevicePaused,
    DeviceResting,
    PoolConnecting,
    PoolLost,
    PoolNotice,
    PoolReady,
)
from miner.work import Outcome
from tests.fakes.api import context_of
from tests.fakes.clock import FakeClock
from tests.fakes.rig import FIRST, ONE, SECOND, ZERO, Rig, job
from tests.panels.answers import all_answers
from tests.panels.rigs import POOL, after

SECRET = "RWalletOrPasswordOfTheOwner"


async def test_texts_of_pools_and_drivers_are_not_shown() -> None:
    rig = Rig()
    rig.emit(*POOL, PoolNotice(FIRST, f"{SECRET} is low on balance"))
    rig.share(ZERO.name, job(), Outcome.UNAUTHORIZED, f"{SECRET} is no account here")
    rig.emit(
        PoolLost(FIRST, f"login of {SECRET} refused", 1.0),
        PoolConnecting(SECOND),
        PoolReady(SECOND),
        PoolLost(SECOND, f"login of {SECRET} refused", None),
        DeviceFault(ZERO.name, f"log in /home/{SECRET}/build.log"),
        DevicePaused(ZERO.name, f"requested by {SECRET}"),
        DeviceResting(ONE.name, f"see /home/{SECRET}", 600.0, parked=True),
    )
    for name, answer in all_answers(rig.telemetry.snapshot()).items():
        assert SECRET.encode() not in answer, name


def test_paths_in_the_reason_of_a_hung_device_are_not_shown() -> None:
    snapshot = after(*POOL, DeviceHanging(ZERO.name, f"see /home/{SECRET}"))
    for name, answer in all_answers(snapshot).items():
        assert SECRET.encode() not in answer, name


@pytest.mark.parametrize("given", [SECRET, SECRET + "x", ""])
def test_the_token_is_never_in_an_answer(given: str) -> None:
    session = EthminerSession(context_of(Telemetry(FakeClock()), FakeClock()), SECRET)
    request = f'{{"id":1,"method":"api_authorize","params":{{"psw":"{given}"}}}}\n'
    answer = session.receive(request.encode() + b'{"id":2,"method":"miner_getstatdetail"}\n')
    assert answer.count(b"\n") == 2
    assert SECRET.encode() not in answer
