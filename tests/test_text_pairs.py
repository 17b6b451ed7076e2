"""Pairs of texts: which files go together, and what is said where they do not."""

import json

import pytest
from made import translated, write

from dlzoo.data.text_pairs import TextPairs
from dlzoo.errors import ConfigError, DataError

GERMAN, ENGLISH = ["ein Haus", "zwei Häuser", "drei"], ["a house", "two houses", "three"]


def both(data):
    return [(data[i]["text"], data[i]["target"]) for i in range(len(data))]


def sides(folder, name="train", german=GERMAN, english=ENGLISH):
    write(folder / f"{name}.de", "\n".join(german) + "\n")
    return write(folder / f"{name}.en", "\n".join(english) + "\n")


def test_two_files_are_one_set_line_by_line(tmp_path):
    sides(tmp_path)
    sides(tmp_path, "val", ["vier"], ["four"])
    sides(tmp_path, "flickr", ["fünf"], ["five"])
    test = str(tmp_path / "flickr.de")
    data = TextPairs(str(tmp_path), text="de", target=".en", test_path=test)
    assert both(data) == [*zip(GERMAN, ENGLISH, strict=True), ("vier", "four"), ("fünf", "five")]
    assert data.splits() == {"train": [0, 1, 2], "validation": [3], "test": [4]}
    assert data.source(1) == f"{tmp_path / 'train.de'}:2" and data.source(4) == f"{test}:1"
    file = str(tmp_path / "train.de")
    for arguments in ({"target": "en"}, {"target_path": str(tmp_path / "train.en"), "text": "de"}):
        assert both(TextPairs(file, **arguments)) == [*zip(GERMAN, ENGLISH, strict=True)]
    beside = TextPairs(file, target_path=str(tmp_path / "train.en"), test_path=test)
    assert beside.arguments() == {"target": "en"}
    assert beside.splits()["test"] == [3] and beside[3] == {"text": "fünf", "target": "five"}


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl", "parquet"])
def test_columns_of_every_kind_of_file_are_read(tmp_path, kind):
    rows, path = list(zip(GERMAN, ENGLISH, strict=True)), str(tmp_path / f"pairs.{kind}")
    if kind == "jsonl":
        write(tmp_path / "pairs.jsonl", "".join(json.dumps({"de": de, "en": en}) + "\n" for de, en in rows))
    elif kind == "parquet":
        arrow = pytest.importorskip("pyarrow")
        import pyarrow.parquet

        pyarrow.parquet.write_table(arrow.table({"de": GERMAN, "en": ENGLISH}), path)
    else:
        separator = "\t" if kind == "tsv" else ","
        write(tmp_path / f"pairs.{kind}", "".join(separator.join(row) + "\n" for row in [("de", "en"), *rows]))
    data = TextPairs(path, text="de", target="en")
    assert both(data) == rows and data.column("target") == ENGLISH and data.column("en") == ENGLISH
    assert [sample["text"] for sample in data.stream()] == GERMAN
    with pytest.raises(DataError, match="there is no column 'fr'.* Set `target`"):
        TextPairs(path, text="de", target="fr")


def test_without_names_the_first_column_is_the_text_and_the_second_the_target(tmp_path):
    path = write(tmp_path / "pairs.tsv", "ein\ta\tx\nzwei\ttwo\ty\n")
    assert both(TextPairs(path, header=False)) == [("ein", "a"), ("zwei", "two")]
    assert both(TextPairs(path, header=False, text="3", target="1"))[0] == ("x", "ein")
    assert both(TextPairs(translated(tmp_path / "named.tsv", 4)))[0][0].endswith(".")


def test_a_text_with_two_targets_stays_in_one_split(tmp_path):
    data = TextPairs(write(tmp_path / "pairs.tsv", "text\ttarget\nein\ta\nein\tone\nzwei\ttwo\n"))
    one, other, third = data.contents()
    assert one == other != third


def test_files_of_different_lengths_are_refused_with_the_line(tmp_path):
    sides(tmp_path, english=ENGLISH[:2])
    with pytest.raises(DataError, match=r"train.de:3: this line has no partner: the file has 3 lines, .*en has 2"):
        len(TextPairs(str(tmp_path / "train.de"), target="en"))
    sides(tmp_path, english=[*ENGLISH, "four", "five"])
    with pytest.raises(DataError, match=r"train.en:4: this line has no partner: the file has 5 lines, .*de has 3"):
        len(TextPairs(str(tmp_path / "train.de"), target="en"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a house\n\nthree\n", "train.en:2: the target is empty"),
        ("a house\ntwo\0houses\nthree\n", "train.en:2: a NUL byte"),
        (b"a house\ntwo h\xff\nthree\n", "train.en:2: byte 13 is no UTF-8"),
    ],
)
def test_bad_lines_are_named(tmp_path, content, says):
    sides(tmp_path)
    write(tmp_path / "train.en", content)
    with pytest.raises(DataError, match=says):
        len(TextPairs(str(tmp_path / "train.de"), target="en"))


def test_bad_rows_are_named_and_can_be_left_out(tmp_path):
    from dlzoo.data.skipped import Skipped

    path = write(tmp_path / "pairs.tsv", "text\ttarget\nein\ta\nzwei\t\nx\n \tthree\nvier\tfour\n")
    with pytest.raises(DataError, match="pairs.tsv:3: the target is empty.\n3 pairs are bad"):
        len(TextPairs(path))
    data = TextPairs(path)
    data.skipped = Skipped(10)
    assert both(data) == [("ein", "a"), ("vier", "four")] and data.skipped.count == 3
    assert data.source(1) == f"{path}:6"


def test_lines_that_are_blank_on_both_sides_are_passed_over(tmp_path):
    sides(tmp_path, german=["ein", "", "zwei", ""], english=["a", "  ", "two", ""])
    data = TextPairs(str(tmp_path / "train.de"), target="en")
    assert both(data) == [("ein", "a"), ("zwei", "two")] and data.source(1).endswith(":3")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "say how the files of both sides end"),
        ({"text": "de", "target": "en", "target_path": "x.en"}, "data.target_path: .* is a folder of both sides"),
        ({"text": "de", "target": "en", "header": False}, "data.header: plain files have no columns"),
        ({"text": "de", "target": "de"}, "has no targets that could be found"),
    ],
)
def test_what_says_nothing_is_refused(tmp_path, arguments, says):
    sides(tmp_path)
    with pytest.raises(ConfigError, match=says):
        TextPairs(str(tmp_path), **arguments)


def test_an_ending_that_is_not_there_is_refused(tmp_path):
    sides(tmp_path)
    with pytest.raises(DataError, match=r"there is no file train.fr in this folder"):
        TextPairs(str(tmp_path), text="fr", target="en")
    with pytest.raises(DataError, match=r"train.fr: there is no such file"):
        TextPairs(str(tmp_path), text="de", target="fr")
    with pytest.raises(ConfigError, match="does not end in .fr"):
        TextPairs(str(tmp_path / "train.de"), text="fr", target="en")
    rows = translated(tmp_path / "pairs.tsv", 3)
    with pytest.raises(ConfigError, match="data.target_path: .* has both texts in each row"):
        TextPairs(rows, target_path=rows)
    with pytest.raises(ConfigError, match="column 'text' is that of the texts already"):
        TextPairs(rows, target="text")


def test_multi30k_is_read_as_it_lies():
    from pathlib import Path

    folder = Path(__file__).parents[1] / "data" / "multi30k"
    if not folder.is_dir():
        pytest.skip("data/multi30k is not here")
    data = TextPairs(str(folder), text="de", target="en", test_path=str(folder / "test_2016_flickr.de"))
    assert {name: len(indices) for name, indices in data.splits().items()} == {
        "train": 29_000,
        "validation": 1_014,
        "test": 1_000,
    }
    assert data[0] == {
        "text": "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
        "target": "Two young, White males are outside near many bushes.",
    }
    assert data.source(30_014).endswith("test_2016_flickr.de:1")


def test_the_fingerprint_is_that_of_both_sides(tmp_path):
    sides(tmp_path)
    before = TextPairs(str(tmp_path), text="de", target="en").fingerprint()
    sides(tmp_path, english=[*ENGLISH[:2], "3"])
    assert TextPairs(str(tmp_path), text="de", target="en").fingerprint() != before


def test_descriptions_that_begin_alike_are_laid_into_one_split():
    from importlib.machinery import SourceFileLoader
    from importlib.util import module_from_spec, spec_from_loader
    from pathlib import Path

    loader = SourceFileLoader("debian", str(Path(__file__).parents[1] / "scripts" / "data" / "debian"))
    module = module_from_spec(spec_from_loader("debian", loader))
    loader.exec_module(module)
    module.COUNT, module.HELD = 300, 40
    found = {
        (f"package {i // 3:03} " + "is much like others of its source, " * 3 + str(i), f"p{i}") for i in range(400)
    }
    splits = module.divided(found)
    assert {split: len(rows) for split, rows in splits.items()} == {"test": 40, "validation": 40, "train": 220}
    kinds = [{text[:11] for text, _ in rows} for rows in splits.values()]
    assert not kinds[0] & kinds[1] and not kinds[0] & kinds[2] and not kinds[1] & kinds[2]
    assert module.divided(set(reversed(sorted(found)))) == splits
