"""A command is one module in miner/cli/, and its name in the table of the help."""

from __future__ import annotations

from tests.adding.conftest import ProductCopy

COMMAND = '''
"""The command `greet`: a greeting."""

import click


@click.command()
@click.option("--name", default="rig", help="Name to greet.")
def greet(name: str) -> None:
    """Greet a rig."""
    click.echo(f"good morning, {name}")
'''


def test_a_command_is_one_module_and_its_name(product: ProductCopy) -> None:
    product.write("miner/cli/greet.py", COMMAND)
    product.add_row("miner/cli/__init__.py", '"completion", "help"', '"greet", ')
    assert product.run("greet", "--name", "rig-07") == "good morning, rig-07\n"
    assert " ".join(["greet", "Greet a rig."]) in " ".join(product.run("--help").split())
