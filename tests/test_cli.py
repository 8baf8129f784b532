"""The command line, as a person runs it: in processes of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT
from PIL import Image

import cbam_viz
from cbam_viz import cli
from cbam_viz.explain.interventions import gate_names, what_if_told
from cbam_viz.explain.photo_files import find_photos
from cbam_viz.models.resnet import ResNetCBAM

EXAMPLES = ROOT / "assets" / "examples"


def run(*arguments, cwd=ROOT, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "cbam_viz", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        timeout=300,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two good photos, one in a folder below, and one broken among them."""
    folder = tmp_path_factory.mktemp("photos")
    shutil.copy(EXAMPLES / "coffee.jpg", folder)
    (folder / "more").mkdir()
    shutil.copy(EXAMPLES / "dahlia.jpg", folder / "more")
    (folder / "broken.jpg").write_bytes((EXAMPLES / "tripod.jpg").read_bytes()[:9000])
    (folder / ".hidden").write_text("left out")
    return folder


def test_version_and_help():
    assert run("--version").stdout == f"cbam-viz {cbam_viz.__version__}\n"
    words = run("--help").stdout
    for command in ("explain", "whatif", "survey", "serve", "models", "train", "evaluate", "bench"):
        assert command in words
    assert "Convolutional Block Attention Module" in words


def test_help_imports_nothing_slow():
    code = "import sys, cbam_viz.cli\ntry: cbam_viz.cli.main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit(any(m in sys.modules for m in ('torch', 'gradio', 'matplotlib')))"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True).returncode == 0
    )


def test_one_bad_photo_among_many(folder, tmp_path):
    """The others are done, the bad one is named at the end, the exit status is 1."""
    done = run("explain", folder, "--out", tmp_path / "out", "--json", "--top-k", 3)
    assert done.returncode == 1
    assert "broken.jpg" in done.stderr.splitlines()[-1]
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(a["photo"]).name for a in answers] == ["coffee.jpg", "dahlia.jpg"]
    assert all(len(a["predictions"]) == 3 and len(a["blocks"]) == 8 for a in answers)
    for name in ("coffee", "dahlia"):
        files = {f.name for f in (tmp_path / "out" / name).iterdir()}
        assert {"attention.npz", "explanation.json"} <= files
        assert len(files) >= 2 + 1 + 8
    assert not (tmp_path / "out" / "broken").exists()


def test_the_same_numbers_as_in_python(folder):
    done = run("explain", folder / "coffee.jpg", "--json")
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    expected = cbam_viz.Explainer.from_pretrained().explain(folder / "coffee.jpg").to_dict()
    assert answer.pop("photo") == str(folder / "coffee.jpg")
    for got, want in zip(answer.pop("blocks"), expected.pop("blocks"), strict=True):
        assert np.allclose(got.pop("spatial"), want.pop("spatial"), atol=2e-4)
        assert np.allclose(got.pop("channel"), want.pop("channel"), atol=2e-4)
        assert got == want
    for got, want in zip(answer.pop("predictions"), expected.pop("predictions"), strict=True):
        assert got["label"] == want["label"]
        assert got["probability"] == pytest.approx(want["probability"], abs=2e-4)
    assert answer == expected


def test_the_look_and_the_blocks_are_chosen(folder, tmp_path):
    done = run(
        "explain", folder / "coffee.jpg", "--out", tmp_path, "--blocks", "layer3.1",
        "--mode", "cells", "--colours", "viridis", "--scale", "stretched", "--opacity", 1,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pictures = sorted(f.name for f in (tmp_path / "coffee").glob("layer*cells*.png"))
    assert len(pictures) == 1
    assert pictures[0].startswith("layer3.1")
    assert Image.open(tmp_path / "coffee" / pictures[0]).size == (600, 400)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["explain", "coffee.jpg", "--blocks", "layer7.7"], "layer4.1"),
        (["explain", "coffee.jpg", "--mode", "glow"], "heat"),
        (["explain", "coffee.jpg", "--colours", "pink"], "magma"),
        (["explain", "coffee.jpg", "--model", "vgg"], "resnet18-cbam-everyday117"),
        (["explain", "coffee.jpg", "--top-k", "0"], "at least 1"),
        (["explain", "nothing-here.jpg"], "no such file"),
    ],
)
def test_what_is_wrong_is_said_and_what_there_is(folder, tmp_path, arguments, words):
    done = run(*arguments, "--out", tmp_path / "out", cwd=folder)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_one_file_that_works_offline(folder, tmp_path):
    done = run("explain", folder / "coffee.jpg", "--out", tmp_path, "--html")
    assert done.returncode == 0, done.stderr
    assert "layer4.1" in (tmp_path / "coffee" / "viewer.html").read_text("utf-8")
    assert "--out DIR" in run("explain", folder / "coffee.jpg", "--html").stderr


def test_training_and_judging_say_what_is_wrong(tmp_path):
    done = run("train", "--recipe", "none", "--data", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "resnet18-cbam-everyday117" in done.stderr
    done = run("evaluate", "--data", tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_survey_says_what_is_wrong_with_it(tmp_path):
    done = run("survey", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr == f"cbam-viz: no photos in {tmp_path}\n"
    assert not (tmp_path / "out").exists()
    done = run("survey", tmp_path)
    assert done.returncode == 1 and "say which with --out DIR" in done.stderr
    done = run("survey", "report", tmp_path)
    assert done.returncode == 1 and "holds no survey" in done.stderr
    done = run("survey", "report")
    assert done.returncode == 1 and "the folder of one survey" in done.stderr
    for more, words in (
        (("--out", tmp_path / "x"), "written into its survey's folder"),
        (("--model", "x", "--top-k", 3), "takes no --model, --top-k"),
    ):
        done = run("survey", "report", tmp_path, *more)
        assert done.returncode == 1 and words in done.stderr
    done = run("survey", EXAMPLES, "--out", tmp_path / "out", "--block", "layer4.1")
    assert done.returncode == 1 and "--block NAME is for its report" in done.stderr


@pytest.mark.parametrize("arguments", [("--rounds", "0"), ("--memory", "-1")])
def test_a_bench_of_nothing_is_refused(arguments):
    done = run("bench", *arguments)
    assert done.returncode == 1
    assert "at least one round" in done.stderr


def test_models_are_listed():
    done = run("models")
    assert done.returncode == 0
    first, *others = done.stdout.splitlines()
    assert first.startswith("resnet18-cbam-everyday117: bundled, 117 classes, 8 blocks, top-1 ")
    assert any(line.startswith("imagenet-resnet50-cbam: ") for line in others)


def test_finding_photos(folder):
    assert [f.name for f in find_photos([str(folder)])] == [
        "broken.jpg",
        "coffee.jpg",
        "dahlia.jpg",
    ]
    assert [f.name for f in find_photos([str(folder / "c*.jpg")])] == ["coffee.jpg"]
    twice = find_photos([str(folder / "coffee.jpg"), str(folder / "*.jpg")])
    assert [f.name for f in twice] == ["coffee.jpg", "broken.jpg"]
    assert find_photos(["no*thing"]) == [Path("no*thing")]


def test_a_folder_is_explained_twice_into_itself(tmp_path):
    """Its other files are passed over, no photo shares a folder, and no picture is explained."""
    for name in ("IMG_1.jpg", "IMG_1.png", "IMG_1-2.jpg", "img_1.JPG", "scan"):
        shutil.copy(EXAMPLES / "coffee.jpg", tmp_path / name)
    for name, content in {
        "notes.txt": b"BM is how this begins",
        "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
        "desktop.ini": b"[.ShellClassInfo]",
        "clip.mp4": b"\0\0\0\x20ftypisom" + bytes(600),
        "IMG_1.xmp": b"<x:xmpmeta/>",
        "IMG_1.AAE": b"<?xml version='1.0'?>",
    }.items():
        (tmp_path / name).write_bytes(content)
    for _ in range(2):
        done = run("explain", tmp_path, "--out", tmp_path / "out", "--blocks", "layer4.1")
        assert done.returncode == 0, done.stderr
        assert "5 written to" in done.stderr
        folders = [f.parent.name for f in (tmp_path / "out").glob("*/explanation.json")]
        assert len(folders) == len({name.casefold() for name in folders}) == 5
    again = run("explain", tmp_path, "--json", "--top-k", 1)
    assert len(again.stdout.splitlines()) == 5, "what was written before is no photo to explain"


def test_a_named_file_that_is_no_photo_is_an_error_and_an_empty_photo_is_one_too(tmp_path):
    (tmp_path / "notes.txt").write_text("no photo")
    assert run("explain", tmp_path).stderr.startswith("cbam-viz: no photos in ")
    done = run("explain", tmp_path / "notes.txt")
    assert done.returncode == 1
    assert f"not explained: {tmp_path / 'notes.txt'}: " in done.stderr
    (tmp_path / "lost.jpg").touch()
    done = run("explain", tmp_path)
    assert done.returncode == 1
    assert f"not explained: {tmp_path / 'lost.jpg'}: " in done.stderr


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437"])
def test_the_terminals_encoding_stops_nothing(encoding, tmp_path):
    """Names in Chinese, with an emoji, and in bytes that are no UTF-8 at all."""
    names = ["猫.jpg", "🐈.jpg", os.fsdecode(b"caf\xe9.jpg")]
    for name in names:
        shutil.copy(EXAMPLES / "coffee.jpg", tmp_path / name)
    environment = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "cbam_viz", "explain", str(tmp_path), "--json", "--top-k", "1"],
        capture_output=True,
        cwd=ROOT,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.decode("utf-8").splitlines()]
    assert sorted(Path(a["photo"]).name for a in answers) == sorted(names)
    lines = run("explain", tmp_path, "--top-k", 1, **environment)
    assert lines.returncode == 0, lines.stderr
    assert "Traceback" not in lines.stderr
    assert len(lines.stdout.splitlines()) == 3
    assert "\\u732b.jpg" in lines.stdout
    assert "\\udce9.jpg" in lines.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["explain", ""], "the name is empty"),  # "$PHOTO" of a variable that is not set
        (["explain", "a.jpg", "--model", ""], "--model: the name is empty"),
        (["explain", "a.jpg", "--classes", " "], "--classes: the name is empty"),
        (["explain", "a.jpg", "--out", ""], "--out: the name is empty"),
        (["whatif", ""], "the name is empty"),
        (["explain", "a.jpg", "--out", "file"], "file is no folder"),
        (["explain", "a.jpg", "--out", "file/below/it"], "file is no folder"),
        (["explain", "a.jpg", "--out", "lost"], "lost is no folder"),
        (["evaluate", "--data", ".", "--out", "file"], "file is no folder"),
        (["survey", ".", "--out", "file"], "file is no folder"),
    ],
)
def test_what_leads_nowhere_is_told_before_anything_is_done(
    arguments, words, tmp_path, monkeypatch, capsys
):
    (tmp_path / "file").touch()
    (tmp_path / "lost").symlink_to(tmp_path / "gone")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["https://example.org/a.jpg", "s3://bucket/a.jpg", "data:image/png;,"]
)
def test_an_address_is_said_to_be_one(name, capsys):
    assert cli.main(["explain", name]) == 1
    assert "an address is not fetched" in capsys.readouterr().err


@pytest.mark.parametrize("count", [3, 5000])
@pytest.mark.parametrize("reader", ["true", "head -c 3"])
def test_who_reads_no_further_hears_nothing(reader, count):
    code = (
        "import sys; from cbam_viz import cli\n"
        f"cli._models = lambda _: [print('x' * 99) for _ in range({count})] and 0\n"
        "sys.exit(cli.main(['models']))"
    )
    done = subprocess.run(
        f'"{sys.executable}" -c "$CODE" | {reader}', shell=True, capture_output=True, cwd=ROOT,
        env=os.environ | {"CODE": code},
    )  # fmt: skip
    assert done.stderr == b""


@pytest.mark.parametrize(
    "name", ["two\nlines.jpg", "\x1b[31mred.jpg", "\u202egpj.jpg", "tab\t.jpg"]
)
def test_each_photo_is_one_line_and_none_steers_the_terminal(name, tmp_path, capsys):
    shutil.copy(EXAMPLES / "coffee.jpg", tmp_path / name)
    (tmp_path / f"no {name}").write_bytes(b"x")
    assert cli.main(["explain", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == len(err.splitlines()) == 1
    assert (out + err).replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "fault",
    [
        UnicodeEncodeError("cp1252", "猫", 0, 1, "undefined"),
        UnicodeDecodeError("gbk", b"\xff", 0, 1, "illegal"),
        UnicodeError("label too long"),
    ],
)
def test_a_fault_of_encodings_is_none_of_our_sentences(fault, monkeypatch):
    def fail(_):
        raise fault

    monkeypatch.setattr(cli, "_models", fail)
    with pytest.raises(UnicodeError):
        cli.main(["models"])


def test_what_was_assumed_of_weights_is_said_and_can_be_chosen(tmp_path):
    state = ResNetCBAM("basic", (1, 1, 1, 1), num_classes=2).state_dict()
    theirs = {k.replace("spatial_attention", "where"): v for k, v in state.items()}
    torch.save(theirs | {"criterion.weight": torch.ones(2)}, tmp_path / "net.ckpt")
    photo = EXAMPLES / "coffee.jpg"
    done = run("explain", photo, "--model", tmp_path / "net.ckpt")
    for words in ("--planes mean-max", "--activation sigmoid", "criterion.weight"):
        assert words in done.stderr
    done = run("explain", photo, "--model", tmp_path / "net.ckpt", "--json",
               "--planes", "mean-max", "--activation", "sigmoid")  # fmt: skip
    assert "--" not in done.stderr
    assert json.loads(done.stdout)["activation"] == "sigmoid"


def test_serve_listens_where_gradio_is_told_to(monkeypatch):
    from cbam_viz.ui import launch

    asked = []
    monkeypatch.setattr(launch, "launch", lambda model, **options: asked.append(options))
    for arguments in ([], ["--host", "0.0.0.0", "--port", "8000"]):
        cli.main(["serve", *arguments])
    # None: `launch` looks at GRADIO_SERVER_NAME and GRADIO_SERVER_PORT, as under app.py.
    assert asked == [
        {"server_name": None, "server_port": None},
        {"server_name": "0.0.0.0", "server_port": 8000},
    ]


def test_what_if(tmp_path):
    """One process for all settings there are, one for which gate matters, one for a wrong one."""
    photo, other, values = EXAMPLES / "coffee.jpg", EXAMPLES / "barn.jpg", tmp_path / "half.npy"
    explainer = cbam_viz.Explainer.from_pretrained()
    gates = {
        "layer4.1.spatial": "shut",
        "layer3.0.channel": 0.5,
        "layer2.1.channel": np.full(128, 0.5, np.float32),
        "layer3.1.spatial": explainer.explain(other),
    }
    np.save(values, gates["layer2.1.channel"])
    settings = ["shut", "0.5", values, other]
    given = [f"--gate={name}={setting}" for name, setting in zip(gates, settings, strict=True)]
    found = json.loads(run("whatif", photo, "--json", *given).stdout)
    assert found == what_if_told(explainer, photo, gates)
    words = run("whatif", photo).stdout.splitlines()
    assert [line.split()[0] for line in words[1:]] == gate_names(explainer.model)
    wrong = run("whatif", photo, "--gate", "layer4.1.spatial")
    assert wrong.returncode == 1 and "NAME=SETTING" in wrong.stderr
