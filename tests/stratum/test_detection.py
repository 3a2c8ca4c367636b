"""The order in which protocols are tried with a pool."""

from __future__ import annotations

from miner.stratum.dialects import Detection


def test_a_named_protocol_is_the_only_one_and_known_to_fit() -> None:
    named = Detection(["zano"])
    assert named.found
    assert not named.misfit()
    assert named.current == "zano"


def test_the_next_one_after_each_misfit_and_the_first_again_after_all() -> None:
    tried = Detection(["kawpow", "ethstratum", "ethproxy"])
    assert not tried.found
    assert tried.misfit()
    assert tried.current == "ethstratum"
    assert tried.misfit()
    assert not tried.misfit()
    assert tried.current == "kawpow"


def test_what_fits_is_news_once_and_stays() -> None:
    tried = Detection(["kawpow", "ethstratum"])
    tried.misfit()
    assert tried.fits()
    assert not tried.fits()
    assert tried.current == "ethstratum"
