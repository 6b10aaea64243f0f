import kre
import pytest
from public_input_pb2 import Response
from src.output import main
from stone_pb2 import Dollars


def test_gives_the_price_in_the_configured_currency() -> None:
    result = kre.testing.call(main, Dollars(amount=1000), sender="model", env={"CURRENCY": "EUR"})
    assert result.one(Response) == Response(price=900, currency="EUR")


def test_does_not_start_with_a_currency_it_has_no_rate_for() -> None:
    with pytest.raises(ValueError, match="CURRENCY is 'XXX'"):
        kre.testing.call(main, Dollars(amount=1000), sender="model", env={"CURRENCY": "XXX"})
