import kre
from public_input_pb2 import FAIR, IDEAL, SI1, G
from src.model import main
from stone_pb2 import Dollars, Stone


def price(**stone: float) -> float:
    typical = {"carat": 1, "cut": IDEAL, "color": G, "clarity": SI1, "depth": 61.8, "table": 57}
    return kre.testing.call(main, Stone(**(typical | stone)), sender="etl").one(Dollars).amount


def test_a_typical_stone_of_one_carat_costs_some_thousands() -> None:
    # The middle half of the 33 such stones in the data set costs 4,737 to 5,204 dollars.
    assert 4_700 < price() < 5_300


def test_weight_and_grades_never_make_a_stone_cheaper() -> None:
    weights = [price(carat=tenths / 10) for tenths in range(3, 50)]
    assert weights == sorted(weights)
    cuts = [price(cut=cut) for cut in range(FAIR, IDEAL + 1)]
    assert cuts == sorted(cuts)
    assert cuts[0] < cuts[-1]
