"""Texts that leave the process."""

from __future__ import annotations

import pytest

from kre.texts import LIMIT, one_line, shortened, valid


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("plain", "plain"),
        ("é 😀 \0", "é 😀 \0"),
        ("half \ud83d", "half \ufffd"),
        ("\udc00\ud83d\ud83d a \udfff", "\ufffd a \ufffd"),
    ],
)
def test_each_run_of_lone_surrogates_is_one_replacement(text: str, made: str) -> None:
    assert valid(text) == made


def test_texts_within_the_limit_stay() -> None:
    assert shortened(["a", "é" * 10, "\ud83d"], 30) == ["a", "é" * 10, "\ufffd"]


def test_the_longest_texts_say_by_how_much_they_were_cut() -> None:
    short, long, longer = shortened(["short", "é" * 1000, "y" * 5000], 1000)
    assert short == "short"
    for text, letter, size in ((long, "é", 2), (longer, "y", 1)):
        kept, _, told = text.partition("… (")
        assert set(kept) == {letter}
        whole = 2000 if letter == "é" else 5000
        assert told == f"{whole - size * len(kept)} more bytes)"
        assert len(text.encode()) <= 500


def test_a_record_has_room_for_its_ids() -> None:
    made = shortened(["x" * LIMIT, "y" * LIMIT, "z" * LIMIT])
    assert LIMIT - 2048 < sum(len(text.encode()) for text in made) <= LIMIT - 1024


def test_one_line_is_one_line() -> None:
    assert one_line(" a\n b\r\n\tc ") == "a b c"
