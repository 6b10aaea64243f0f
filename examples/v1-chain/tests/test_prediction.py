import hashlib
import hmac

import kre
import pytest
from google.protobuf.struct_pb2 import Struct
from src.model import main as model
from src.model_input_etl import main as etl
from src.output import main as output

SETOSA = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


def struct(**fields: object) -> Struct:
    made = Struct()
    made.update(fields)
    return made


def test_lets_in_who_knows_the_key() -> None:
    result = kre.testing.call(etl, struct(api_key="k", **SETOSA), env={"API_KEY": "k"})
    assert list(result.one(Struct)["features"]) == [5.1, 3.5, 1.4, 0.2]


@pytest.mark.parametrize("given", [{}, {"api_key": ""}, {"api_key": "K"}, {"api_key": "ключ"}])
def test_keeps_out_who_does_not(given: dict[str, str]) -> None:
    error = kre.testing.call(etl, struct(**given, **SETOSA), env={"API_KEY": "k"}).error
    assert isinstance(error, kre.FinalError)
    assert "api_key" in str(error)


def test_names_what_is_not_a_number() -> None:
    given = SETOSA | {"petal_width": "wide"}
    error = kre.testing.call(etl, struct(api_key="k", **given), env={"API_KEY": "k"}).error
    assert str(error) == "petal_width must be a number of centimetres, got 'wide'"


@pytest.mark.parametrize(
    ("features", "species"),
    [([5.1, 3.5, 1.4, 0.2], "setosa"), ([5.9, 2.8, 4.3, 1.3], "versicolor"), ([6.7, 3.1, 5.6, 2.4], "virginica")],
)
def test_tells_the_species_apart(features: list[float], species: str) -> None:
    prediction = kre.testing.call(model, struct(features=features), sender="model_input_etl").one(Struct)
    assert prediction["species"] == species
    assert 0.5 < prediction["probability"] <= 1


def test_signs_the_prediction() -> None:
    prediction = struct(species="setosa", probability=0.98)
    answer = kre.testing.call(output, prediction, sender="model", env={"API_SECRET": "s"}).one(Struct)
    assert answer["signature"] == hmac.new(b"s", b"setosa 0.980", hashlib.sha256).hexdigest()
    assert (answer["species"], answer["probability"]) == ("setosa", 0.98)
