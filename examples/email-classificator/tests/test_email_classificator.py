import kre
import pytest
from mail_pb2 import Classified, Email
from src.email_classificator import main

# None of these is in the training data.
UNSEEN = {
    "repairs": Email(subject="Boiler", text="The boiler is broken and leaks. Please send a technician to repair it."),
    "billing": Email(subject="Invoice 7", text="I paid this invoice already. Please refund the second payment."),
    "orders": Email(subject="My order", text="The parcel with my order has not been delivered yet. Please track it."),
}


@pytest.mark.parametrize("category", UNSEEN)
def test_tells_what_an_email_is_about(category: str) -> None:
    classified = kre.testing.call(main, UNSEEN[category], sender="etl").one(Classified)
    assert classified.category == category
    assert classified.email == UNSEEN[category]


def test_sends_only_repairs_to_their_own_channel() -> None:
    assert len(kre.testing.call(main, UNSEEN["repairs"], sender="etl").all(Classified, "repairs")) == 1
    assert kre.testing.call(main, UNSEEN["orders"], sender="etl").all(Classified, "repairs") == []


def test_does_not_guess_what_it_cannot_read() -> None:
    assert kre.testing.call(main, Email(subject="xq"), sender="etl").one(Classified).category == "unknown"
