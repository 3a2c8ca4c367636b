"""The order in which protocols are tried with a pool."""

from __future__ import annotations

from miner.stratum.dialects import Detection


def test_configured_protocol_is_the_only_one() -> None:
    named = Detection(["zano"])
    assert named.found
    assert not named.misfit()
    assert named.current == "zano"


def test_misfits_lead_through_all_protocols_and_back_to_the_first() -> None:
    tried = Detection(["kawpow", "ethstratum", "ethproxy"])
    assert not tried.found
    assert tried.misfit()
    assert tried.current == "ethstratum"
    assert tried.misfit()
    assert not tried.misfit()
    assert tried.current == "kawpow"


def test_fit_is_new_once_and_stays() -> None:
    tried = Detection(["kawpow", "ethstratum"])
    tried.misfit()
    assert tried.fits()
    assert not tried.fits()
    assert tried.current == "ethstratum"
