"""How a diamond becomes numbers: shared by the training and by the nodes, so that both mean the same."""

from collections.abc import Mapping

# Grades from worst to best, as the data set names them.
GRADES = {
    "cut": ("Fair", "Good", "Very Good", "Premium", "Ideal"),
    "color": ("J", "I", "H", "G", "F", "E", "D"),
    "clarity": ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"),
}

# The columns of the model's input, and whether a stone gets dearer as the column rises (1) or need not (0).
COLUMNS = {"carat": 1, "cut": 1, "color": 1, "clarity": 1, "depth": 0, "table": 0}


def features(stone: Mapping[str, str | float]) -> list[float]:
    """The stone as one row of the model's input; a grade becomes its place in the order of grades."""
    return [
        float(GRADES[column].index(str(stone[column]))) if column in GRADES else float(stone[column])
        for column in COLUMNS
    ]
