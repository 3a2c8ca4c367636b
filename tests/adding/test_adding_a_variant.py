"""A variant is one file under configs/variants/."""

from __future__ import annotations

import subprocess

from miner.resources import data_directory
from tests.adding.conftest import SECONDS, ProductCopy

KAWPOW = (data_directory("configs") / "variants" / "kawpow.toml").read_text()

LOCALPOW = (
    KAWPOW.replace('name = "kawpow"', 'name = "localpow"\nalgorithm = "localpow-algorithm"')
    .replace('title = "KawPow', 'title = "LocalPow')
    .replace('aliases = ["kawpow-rvn", "raven", "ravencoin", "kawpow_rvn"]', 'aliases = ["local"]')
) + "\n[sizes]\nlight_items = 509\ndataset_items = 8191\n"
"""KawPow's numbers, for which its known answers hold, on a dataset of 1 MiB."""

PANEL_NAME = """
from miner.catalog import find_variant
from miner.panels.panel_figures import algorithm_name
from miner.telemetry import About
variant = find_variant("local")
print(algorithm_name(About(algorithm=variant.name, panel_algorithm=variant.algorithm)))
"""


def test_a_variant_is_one_file(product: ProductCopy) -> None:
    product.write("configs/variants/localpow.toml", LOCALPOW)

    assert "\nlocalpow " in "\n" + product.run("variants")
    hashed = product.run(
        "hash", "-a", "local", "--height", "0",
        "--header", "dcd38978b943d2b80199de1576d3fb057676ba41c8bb2fc350adf8528ebc01c0",
        "--nonce", "7a6735b6f4b09210",
    )  # fmt: skip
    assert "cd39f10c867425c8defd7618b91c3c0c67dc1946134b19a6a5a82f44daf86cc9" in hashed
    assert "3 known answers" in product.run("selftest", "-a", "localpow", "-d", "ref")
    mined = product.run(
        "demo", "-a", "localpow", "-d", "ref", "--shares", "1", "--difficulty", "0.00000001"
    )
    assert "accepted, not accepted: none" in mined

    panel = subprocess.run(
        product.python("-c", PANEL_NAME), cwd=product.root, env=product.environment(),
        capture_output=True, text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    assert panel.stdout == "localpow-algorithm\n"
