"""Files of class names, as frameworks and people write them."""

import json

import pytest
from torchvision.models import ResNet18_Weights

from cbam_viz.models.class_names import class_names, read_classes
from cbam_viz.models.errors import WeightsError

WRITTEN = {
    "plain.txt": "ant\nbee\ncat, the\n",
    "windows.txt": "ant\r\nbee\r\ncat, the\r\n\r\n",
    "old mac.txt": "ant\rbee\rcat, the",
    "indented.txt": "  ant\n\tbee \ncat, the",
    "numbered.txt": "0 ant\n1 bee\n2 cat, the",
    "numbered from 1.txt": "1. ant\n2. bee\n3. cat, the".replace(".", ":"),
    "out of order.txt": "2,cat, the\n0,ant\n1,bee",
    "numbers behind.txt": "ant 0\ncat, the 2\nbee 1",
    "numbers.csv": 'id,label\n0,ant\n1,bee\n2,"cat, the"\n',
    "no header.csv": '0,ant\n2,"cat, the"\n1,bee\n',
    "names first.csv": 'name,index\n"cat, the",2\nant,0\nbee,1\n',
    "three columns.csv": 'idx,wnid,class_name\n0,n01,ant\n1,n02,bee\n2,n03,"cat, the"\n',
    "names alone.csv": 'class\nant\nbee\n"cat, the"\n',
    "tabs.tsv": "0\tant\n1\tbee\n2\tcat, the\n",
    "list.yaml": "- ant\n- bee\n- cat, the\n",
    "numbers.yml": "2: cat, the\n0: ant\n1: bee\n",
    "YOLO.yaml": "nc: 3\nnames: [ant, bee, 'cat, the']\n",
    "of Python.txt": "{0: 'ant',\n 1: 'bee',\n 2: 'cat, the'}",
    "printed.txt": "['ant', 'bee', 'cat, the']",
    "JSON.txt": '["ant", "bee", "cat, the"]',
    "as text.json": '{"ant": "0", "cat, the": "2", "bee": "1"}',
    "from 1.json": '{"1": "ant", "2": "bee", "3": "cat, the"}',
    "config.json": '{"id2label": {"10": "x"}, "classes": ["ant", "bee", "cat, the"]}',
    "COCO.json": json.dumps(
        {
            "categories": [
                {"id": 7, "name": "cat, the"},
                {"id": 1, "name": "ant"},
                {"id": 2, "name": "bee"},
            ]
        }
    ),
    "objects.json": '[{"label": "ant"}, {"label": "bee"}, {"label": "cat, the"}]',
    "UPPER.JSON": '["ant", "bee", "cat, the"]',
}


@pytest.mark.parametrize("name", WRITTEN)
def test_names_are_read_in_the_outputs_order(name, tmp_path):
    (tmp_path / name).write_text(WRITTEN[name], "utf-8", newline="")
    assert read_classes(tmp_path / name) == ["ant", "bee", "cat, the"]


@pytest.mark.parametrize(
    "text",
    [
        "0 degrees\n1 degrees\n2 degrees",  # without their numbers they would be one
        "7 seas\n8 bits\n9 lives",  # they count nothing through
        "747\n320\n380",
        "route 66\narea 51\ncatch 22",
        "n01440764 tench\nn01443537 goldfish",
    ],
)
def test_numbers_that_belong_to_names_stay(text, tmp_path):
    (tmp_path / "names.txt").write_text(text)
    assert read_classes(tmp_path / "names.txt") == text.split("\n")


def test_imagenets_names_whichever_way_they_are_written(tmp_path):
    names = ResNet18_Weights.DEFAULT.meta["categories"]
    backwards = dict(reversed(list(enumerate(names))))
    for name, text in {
        "a.txt": "\n".join(names),
        "b.txt": str(backwards),
        "c.json": json.dumps({str(k): ["n0", v] for k, v in backwards.items()}),
        "d.csv": "".join(f'{k},"{v}"\n' for k, v in backwards.items()),
    }.items():
        (tmp_path / name).write_text(text)
        assert read_classes(tmp_path / name) == names


@pytest.mark.parametrize("sign", [" ", ":", "1", "a ", "1 a"])
def test_no_line_takes_long(sign, tmp_path):
    """In as many ways as a pattern can split a line, this would take years."""
    line = f"0{sign * 50_000}a{sign * 50_000}b"
    (tmp_path / "names.txt").write_text(f"{line}\n{line}")
    assert read_classes(tmp_path / "names.txt") == [line, line]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gap.json", '{"0": "a", "1": "b", "5": "c"}', "gaps"),
        ("late.json", '{"2": "a", "3": "b"}', "gaps"),
        ("words.json", '{"cat": "dog"}', "no numbers"),
        ("deep.json", '[["a", {"b": 1}]]', "expected is a name"),
        ("objects.json", '[{"x": 1}]', "objects without"),
        ("one.json", '"cat"', "found is str"),
        ("cut.json", '["a", ', "not valid JSON"),
        ("cut.yaml", "names: [a, b", "not valid YAML"),
        ("long.yaml", "- a\n" * 300_000, "too long for YAML"),
        (
            "bomb.yaml",
            "".join(
                f"- &a{i} [{', '.join(['*a' + str(i - 1)] * 9) if i else 'x'}]\n" for i in range(12)
            ),
            "of type list",
        ),
        ("long.csv", "0,ant\n1," + "x" * 200_000, "is no table"),
        ("odd.csv", "a,b\nc,d\n", "none of its 2 columns"),
        ("ragged.csv", "0,a\n1,b,c\n", "different numbers of columns"),
        ("book.xlsx", b"PK\3\4" + bytes(30), "spreadsheet"),
        ("old.xls", b"\xd0\xcf\x11\xe0" + bytes(30), "spreadsheet"),
        ("notepad.txt", "cat\n\u732b\n".encode("utf-16-le"), "iconv -f UTF-16LE"),
        ("excel.txt", "cat\ndog\n".encode("utf-16-be"), "iconv -f UTF-16BE"),
    ],
)
def test_what_is_no_list_of_names_is_refused(name, content, words, tmp_path):
    content = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=words):
        read_classes(tmp_path / name)


def test_a_class_without_a_name_keeps_its_number():
    assert class_names([None, "b", ""], "here") == ["class 0", "b", "class 2"]
