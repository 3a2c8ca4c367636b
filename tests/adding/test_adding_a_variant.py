"""A variant is one file under configs/variants/."""

from __future__ import annotations

import re

import pytest

from miner.resources import data_directory
from tests.adding.conftest import SECONDS, ProductCopy
from tests.harness.child import captured

VARIANTS = data_directory("configs") / "variants"


def local_pow(name: str) -> str:
    """Return the shipped variant `name`, whose known answers hold, on a dataset of 1 MiB."""
    text = (VARIANTS / f"{name}.toml").read_text()
    text = re.sub("^name = .*", 'name = "localpow"\nalgorithm = "localpow-algorithm"', text)
    text = re.sub("\naliases = .*", '\naliases = ["local"]', text)
    return text + "\n[sizes]\nlight_items = 509\ndataset_items = 8191\n"


PANEL_NAME = """
from miner.catalog import find_variant
from miner.panels.panel_figures import algorithm_name
from miner.telemetry import About
variant = find_variant("local")
print(algorithm_name(About(algorithm=variant.name, panel_algorithm=variant.algorithm)))
"""


@pytest.mark.parametrize("like", ["kawpow", "oggpow"])
def test_a_variant_is_one_file(product: ProductCopy, like: str) -> None:
    """Also one whose program is drawn and run in other ways."""
    text = local_pow(like)
    product.write("configs/variants/localpow.toml", text)

    assert "\nlocalpow " in "\n" + product.run("variants")
    height, header, nonce, wanted = (
        re.findall(rf'\n{key} = "?(\w+)', text)[0]
        for key in ("height", "header_hash", "nonce", "final_hash")
    )
    hashed = product.run(
        "hash", "-a", "local", "--height", height, "--header", header, "--nonce", nonce
    )
    assert wanted in hashed
    assert "3 known answers" in product.run("selftest", "-a", "localpow", "-d", "ref")
    mined = product.run(
        "demo", "-a", "localpow", "-d", "ref", "--shares", "1", "--difficulty", "0.00000001",
        "--protocol", "ethproxy",
    )  # fmt: skip
    assert "accepted, not accepted: none" in mined

    panel = captured(
        product.python("-c", PANEL_NAME), cwd=product.root, env=product.environment(),
        timeout=SECONDS, check=True,
    )  # fmt: skip
    assert panel.stdout == "localpow-algorithm\n"
