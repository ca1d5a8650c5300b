from __future__ import annotations

import pytest

from tests.support.processes import listening_ports
from tests.support.product import ADMINISTRATOR, Product

pytestmark = pytest.mark.integration


def test_account_survives_a_kill_of_the_server(product: Product) -> None:
    """Set up an account, kill the server, start it again at its address: the login goes on."""
    server = product.start_server()
    ann = product.set_up()
    server.kill()

    again = product.start_server()

    assert ann.json("whoami")["account"] == ADMINISTRATOR
    assert listening_ports([again.pid]) == {int(product.address.rpartition(":")[2])}
    assert again.stop() == 0


def test_command_that_fails_unexpectedly_shows_its_words(product: Product) -> None:
    """The error of a test names the command, its status and what it said."""
    nobody = product.user("bob@example.org")

    with pytest.raises(AssertionError, match="commander whoami: status 5, expected 0"):
        nobody("whoami")
    nobody("whoami", status=5)
