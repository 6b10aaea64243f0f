import kre
import pytest
from public_input_pb2 import IDEAL, SI1, VS2, G, Request
from src.etl import main
from stone_pb2 import Stone


def test_assumes_the_most_common_of_what_is_not_given() -> None:
    stone = kre.testing.call(main, Request(carat=1)).one(Stone)
    assert stone == Stone(carat=1, cut=IDEAL, color=G, clarity=SI1, depth=61.8, table=57)


def test_keeps_what_is_given() -> None:
    stone = kre.testing.call(main, Request(carat=1, clarity=VS2, depth=60)).one(Stone)
    assert (stone.clarity, stone.depth) == (VS2, 60)


@pytest.mark.parametrize("carat", [0, -1, 5.02, float("nan")])
def test_refuses_a_weight_that_no_diamond_of_the_data_set_has(carat: float) -> None:
    error = kre.testing.call(main, Request(carat=carat)).error
    assert isinstance(error, kre.FinalError)
    assert "carat must be above 0" in str(error)


def test_refuses_a_grade_that_is_none() -> None:
    error = kre.testing.call(main, Request(carat=1, cut=9)).error
    assert isinstance(error, kre.FinalError)
    assert str(error) == "cut must be one of 5 grades, got 9"
