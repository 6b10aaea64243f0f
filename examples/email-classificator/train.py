"""Trains the text model on data/emails.tsv and writes models/categories.joblib."""

import csv
from pathlib import Path

import emails
import joblib
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline

ROOT = Path(__file__).parent


def new_model() -> Pipeline:
    """An untrained model. Pieces of words let it read words it has never seen (repaired, repairing, repairs)."""
    return make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True, max_features=5000),
        LogisticRegression(C=10, max_iter=1000),
    )


def main() -> None:
    """Judges the model by tenths that it has not seen, then trains the one to ship on everything."""
    with open(ROOT / "data" / "emails.tsv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    texts = [emails.as_text(row["subject"], row["text"]) for row in rows]
    categories = [row["category"] for row in rows]

    accuracy = cross_val_score(new_model(), texts, categories, cv=10).mean()

    models = ROOT / "models"
    models.mkdir(exist_ok=True)
    joblib.dump(new_model().fit(texts, categories), models / "categories.joblib", compress=3)
    print(f"{len(rows)} e-mails, accuracy {accuracy:.2f}")


if __name__ == "__main__":
    main()
