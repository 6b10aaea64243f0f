"""Trains the price model on the diamonds that plotnine carries and writes models/price.joblib and models/typical.json.

The data set is read from the installed package's file: importing plotnine would need all of its plotting.
"""

import csv
import importlib.util
import json
from collections import Counter
from pathlib import Path
from statistics import median

import diamonds
import joblib
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

MODELS = Path(__file__).parent / "models"


def read_diamonds() -> list[dict[str, str]]:
    """All rows of the data set, columns by name."""
    package = importlib.util.find_spec("plotnine")
    if package is None or package.origin is None:
        raise SystemExit("plotnine, which carries the data set, is not installed; `make train` installs it")
    with open(Path(package.origin).parent / "data" / "diamonds.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def new_model() -> HistGradientBoostingRegressor:
    """An untrained model. Prices are positive and spread over two orders of magnitude, hence the gamma loss."""
    return HistGradientBoostingRegressor(
        loss="gamma",
        max_iter=100,
        early_stopping=False,
        monotonic_cst=list(diamonds.COLUMNS.values()),
        random_state=0,
    )


def typical(stones: list[dict[str, float]]) -> dict[str, float]:
    """What to assume of a stone of which only the weight is known: the most frequent grade, else the median."""
    assumed = {}
    for column in diamonds.COLUMNS:
        values = [stone[column] for stone in stones]
        if column in diamonds.GRADES:
            assumed[column] = Counter(values).most_common(1)[0][0]
        elif column != "carat":
            assumed[column] = median(values)
    return assumed


# Sums come out a little differently with every number of threads; with one, every machine trains the same model.
@threadpool_limits.wrap(limits=1)
def main() -> None:
    """Judges a model by a fifth of the rows that it has not seen, then trains the one to ship on all of them."""
    rows = read_diamonds()
    stones = [diamonds.from_row(row) for row in rows]
    inputs = np.array([[stone[column] for column in diamonds.COLUMNS] for stone in stones])
    prices = np.array([float(row["price"]) for row in rows])

    seen, unseen, seen_prices, unseen_prices = train_test_split(inputs, prices, test_size=0.2, random_state=0)
    score = r2_score(unseen_prices, new_model().fit(seen, seen_prices).predict(unseen))

    MODELS.mkdir(exist_ok=True)
    (MODELS / "typical.json").write_text(json.dumps(typical(stones), indent=2) + "\n", encoding="utf-8")
    # Written last: whoever finds the model finds the rest too.
    joblib.dump(new_model().fit(inputs, prices), MODELS / "price.joblib", compress=3)
    print(f"{len(rows):,} diamonds, R² {score:.2f}")


if __name__ == "__main__":
    main()
