"""How texts are read, and what is said of bad ones."""

from pathlib import Path

import pytest
from made import write

from dlzoo.config import Split
from dlzoo.data.dataset import Subset
from dlzoo.data.splits import divide
from dlzoo.data.text_files import read_texts
from dlzoo.data.texts import Texts
from dlzoo.errors import ConfigError, DataError
from dlzoo.tasks.text_classification import TextClassification


def test_texts_in_class_folders(tmp_path):
    for name in ("pos/1.txt", "pos/2.txt", "neg/1.txt"):
        write(tmp_path / name, name)
    data = Texts(str(tmp_path))
    assert data.gives == ("text", "label")
    assert [data[i] for i in range(3)] == [
        {"text": "neg/1.txt", "label": "neg"},
        {"text": "pos/1.txt", "label": "pos"},
        {"text": "pos/2.txt", "label": "pos"},
    ]


def test_several_documents_are_kept_whole_and_one_is_cut(tmp_path):
    for i in range(10):
        write(tmp_path / "many" / f"{i}.txt", "word " * (i + 1))
    many = Texts(str(tmp_path / "many"))
    assert many.along is None and many.gives == ("text",)
    assert {name: subset.spans for name, subset in divide(many, Split()).items()} == dict.fromkeys(
        ("train", "validation", "test")
    )
    one = Texts(str(tmp_path / "many" / "9.txt"), unit="document")
    assert one.along == "text" and one.lengths() == [50]
    assert divide(one, Split(test=0.2, hold_out=0))["test"].spans == [(40, 50)]


def test_plain_lines_are_texts(tmp_path):
    data = Texts(write(tmp_path / "a.txt", "one\n\ntwo\n"))
    assert data.column("text") == ["one", "two"] and data.source(1).endswith("a.txt:3")


def test_texts_without_header_or_quotes(tmp_path):
    write(tmp_path / "train.tsv", 'good "film\t1\n"bad film\t0\n')
    write(tmp_path / "dev.tsv", "fine\t1\n")
    data = Texts(str(tmp_path), header=False, quotes=False)
    assert data.column("text") == ['good "film', '"bad film', "fine"] and data.column("label") == ["1", "0", "1"]
    assert data.splits() == {"train": [0, 1], "validation": [2]}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "body,label\nx,y\n", "no column 'text'.*Set `text`"),
        ("a.csv", "text,label\nx,y\nz,\n", r"a\.csv:3: the label is empty"),
        ("a.jsonl", '{"text": "x"}\n{"text": \n', r"a\.jsonl:2: the line is no JSON"),
        ("a.jsonl", '{"text": "x"}\n[1]\n', r"a\.jsonl:2: .* no JSON object"),
        ("a.txt", b"good\nb\xe4d\n", r"a\.txt:2: byte 6 is no UTF-8"),
        ("a.txt", "\n", "no texts"),
    ],
)
def test_bad_texts_are_named_with_their_row(tmp_path, name, text, says):
    with pytest.raises(DataError, match=says):
        len(Texts(write(tmp_path / name, text)))


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("a.txt", {"label": "kind"}, "data.label: .*a.txt has no columns"),
        ("a.txt", {"quotes": False}, "data.quotes"),
        ("a.csv", {"unit": "document"}, "data.unit: .*a.csv has a text in each row"),
        ("docs", {"test_path": "a.txt"}, "data.test_path: .*docs is a folder of texts"),
        ("parts", {"test_path": "a.txt"}, "data.test_path: .*test.txt is the test split"),
    ],
)
def test_a_setting_that_would_be_passed_over_is_refused(tmp_path, name, settings, says):
    write(tmp_path / "a.txt", "one\ntwo\n")
    write(tmp_path / "a.csv", "text\none\n")
    for file in ("docs/a/1.txt", "docs/b/2.txt", "parts/train.txt", "parts/test.txt"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / file, "one\n")
    with pytest.raises(ConfigError, match=says):
        Texts(str(tmp_path / name), **settings)


def test_a_file_to_predict_is_read_as_the_training_file_was(tmp_path):
    path = write(tmp_path / "a.tsv", 'good\t"fine\nbad\tbäd\n'.encode("latin-1"))
    data = Texts(path, text="2", label="1", header=False, quotes=False, encoding="latin-1")
    task = TextClassification()
    task.fit(Subset(data, [0, 1]))
    restored = TextClassification()
    restored.load_state_dict(task.state_dict())
    assert [sample["text"] for sample in restored.read(Path(path))] == data.column("text") == ['"fine', "bäd"]


def test_another_encoding_can_be_named(tmp_path):
    assert Texts(write(tmp_path / "a.txt", "bäd\n".encode("latin-1")), encoding="latin-1").column("text") == ["bäd"]
    with pytest.raises(DataError, match="not known"):
        len(Texts(str(tmp_path / "a.txt"), encoding="latin-99"))


def test_texts_of_a_user_are_read_one_by_one(tmp_path):
    write(tmp_path / "a.csv", 'id,text\n1,hello\n2\n3,"a\nb"\n')
    found = list(read_texts(tmp_path / "a.csv", "text"))
    assert [isinstance(sample, DataError) or sample["text"] for sample in found] == ["hello", True, "a\nb"]
    write(tmp_path / "a.txt", "one\ntwo\n")
    assert [sample["text"] for sample in read_texts(tmp_path / "a.txt", "text")] == ["one", "two"]
    assert [sample["text"] for sample in read_texts(tmp_path / "a.txt")] == ["one\ntwo\n"]
