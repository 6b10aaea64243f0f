import kre
from mail_pb2 import Email
from public_input_pb2 import Request, Response
from src.etl import main


def test_answers_at_once_and_passes_the_email_on() -> None:
    result = kre.testing.call(main, Request(subject=" Lift  stuck ", text="It makes\na noise."))
    assert result.early_reply(Response).message == "received: Lift stuck"
    assert result.one(Email) == Email(subject="Lift stuck", text="It makes a noise.")


def test_refuses_an_empty_email() -> None:
    error = kre.testing.call(main, Request(subject=" ")).error
    assert isinstance(error, kre.FinalError)
