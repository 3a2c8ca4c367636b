"""The order in which protocols are tried with a pool."""

from __future__ import annotations

from miner.stratum.dialects import Detection


def test_configured_protocol_is_the_only_one() -> None:
    named = Detection(["zano"])
    assert named.found
    assert not named.try_next()
    assert named.current == "zano"


def test_misfits_lead_through_all_protocols_and_back_to_the_first() -> None:
    tried = Detection(["kawpow", "ethstratum", "ethproxy"])
    assert not tried.found
    assert tried.try_next()
    assert tried.current == "ethstratum"
    assert tried.try_next()
    assert not tried.try_next()
    assert tried.current == "kawpow"


def test_fit_is_new_once_and_stays() -> None:
    tried = Detection(["kawpow", "ethstratum"])
    tried.try_next()
    assert tried.confirm()
    assert not tried.confirm()
    assert tried.current == "ethstratum"
