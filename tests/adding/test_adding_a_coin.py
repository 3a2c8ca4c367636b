"""A coin is one file under configs/coins/."""

from __future__ import annotations

from tests.adding.conftest import ProductCopy

LOCALCOIN = """
symbol = "LOCAL"
name = "Localcoin"
variant = "kawpow"
protocol = "kawpow"
difficulty_one = "ff"
node = "pprpc"
"""

SETTINGS = """
coin = "LOCAL"

[[pools]]
url = "stratum+tcp://pool.example:3333"
user = "wallet"
"""


def test_a_coin_is_one_file(product: ProductCopy) -> None:
    product.write("settings.toml", SETTINGS)
    assert "coin 'LOCAL' is not known" in product.run("config", "check", "settings.toml", code=2)

    product.write("configs/coins/localcoin.toml", LOCALCOIN)
    product.run("config", "check", "settings.toml")
    assert 'coin = "LOCAL"' in product.run("config", "show", "--config", "settings.toml")
    refused = product.run(
        "mine", "--coin", "localcoin", "-o", "127.0.0.1:1", "-u", "wallet", "-d", "ref",
        "--give-up", "0.1", "--no-ledger", code=4,
    )  # fmt: skip
    assert "no pool for 0.1 s" in refused
