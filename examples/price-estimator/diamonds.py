"""How a diamond becomes numbers: shared by the training and by the nodes, so that both mean the same."""

from collections.abc import Mapping

# Grades from worst to best, as the data set names them. A grade is its place here, from 1, as in public_input.proto.
GRADES = {
    "cut": ("Fair", "Good", "Very Good", "Premium", "Ideal"),
    "color": ("J", "I", "H", "G", "F", "E", "D"),
    "clarity": ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"),
}

# The columns of the model's input, and whether a stone gets dearer as the column rises (1) or need not (0).
COLUMNS = {"carat": 1, "cut": 1, "color": 1, "clarity": 1, "depth": 0, "table": 0}


def from_row(row: Mapping[str, str]) -> dict[str, float]:
    """A row of the data set as numbers, by column."""
    return {
        column: GRADES[column].index(row[column]) + 1 if column in GRADES else float(row[column]) for column in COLUMNS
    }
