"""Programs that call the page: plain HTTP with any arguments, and MCP."""

import asyncio
import base64
import json
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from helpers import EXAMPLES, ROOT, make_explanation
from PIL import Image

from cbam_viz import Explainer
from cbam_viz.explain.interventions import what_if_told
from cbam_viz.ui.mcp_tool import small_overlay, summary

COFFEE = EXAMPLES / "coffee.jpg"


def request(url: str, body: bytes, kind: str = "application/json") -> dict:
    asked = urllib.request.Request(url, body, {"Content-Type": kind})
    with urllib.request.urlopen(asked) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def photo(address) -> dict:
    """An uploaded photo, as curl would send it."""
    mark = uuid.uuid4().hex
    head = f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    body = head.encode() + COFFEE.read_bytes() + f"\r\n--{mark}--\r\n".encode()
    (path,) = request(f"{address}gradio_api/upload", body, f"multipart/form-data; boundary={mark}")
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def explain(address: str, arguments: list, function: str = "explain") -> tuple[str, object]:
    """The event and the data that a function answers."""
    call = f"{address}gradio_api/call/{function}"
    event = request(call, json.dumps({"data": arguments}).encode())["event_id"]
    with urllib.request.urlopen(f"{call}/{event}") as answer:
        kind, data = answer.read().decode().strip().splitlines()
    return kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))


@pytest.fixture(scope="module")
def expected() -> dict:
    return Explainer.from_pretrained().explain(COFFEE).to_dict()


@pytest.mark.parametrize("more", [[None, None], ["", 5.0], [None, 5], [None], []])
def test_null_and_nothing_mean_the_default(more, photo, address, expected):
    kind, (answer,) = explain(address, [photo, *more])
    assert kind == "complete"
    assert answer["predictions"] == expected["predictions"]
    assert answer.keys() == expected.keys()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["photo", None, "3"], 'top_k must be a whole number, or null, not "3"'),
        (["photo", None, True], "top_k must be a whole number, or null, not true"),
        (["photo", None, 2.5], "not 2.5"),
        (["photo", None, float("inf")], "not Infinity"),
        (["photo", None, {"k": "x" * 999}], "top_k must be a whole number"),
        (["photo", None, -3], "top_k must be at least 1, not -3"),
        (["photo", 7, 3], "model must be a model's name, or null, not 7"),
        (["photo", ["resnet"], 3], "model must be a model's name"),
        (["photo", "vgg", 3], "there are: resnet18-cbam-everyday117"),
        ([None, None, None], "No photo was given"),
        ([], "No photo was given"),
        ([{}, None, None], "No photo was given"),
        (["coffee.jpg", None, None], "a file is an object"),
        ([17, None, None], "a file is an object"),
        ([{"path": "/etc/hostname"}, None, None], "was not uploaded here"),
        ([{"url": "http://example.org/a.jpg"}, None, None], "an address is not fetched"),
        (["photo", None, 3, 4], "expected are 3 arguments"),
        (["photo", None, None, None, None], "expected are 3 arguments"),
    ],
)
def test_every_wrong_argument_gets_a_sentence(arguments, words, photo, address):
    given = [photo if a == "photo" else a for a in arguments]
    kind, answer = explain(address, given)
    assert kind == "error"
    assert words in answer["error"]
    assert len(answer["error"]) < 300
    assert not any(sign in answer["error"] for sign in ("Traceback", "NoneType", "()", "Error"))


GATES = {"layer4.1.spatial": "open", "layer3.0.channel": 0.5}


@pytest.mark.parametrize("gates", [GATES, None, {}])
def test_gates_set_by_hand(gates, photo, address):
    kind, (answer,) = explain(address, [photo, gates], "what_if")
    assert kind == "complete"
    explainer = Explainer.from_pretrained()
    assert answer == roughly(what_if_told(explainer, COFFEE, gates))


def roughly(value):
    """The same values, of which floats need not agree in the last digit."""
    if isinstance(value, dict):
        return {key: roughly(v) for key, v in value.items()}
    if isinstance(value, list):
        return [roughly(v) for v in value]
    return pytest.approx(value, abs=2e-3) if isinstance(value, float) else value


@pytest.mark.parametrize(
    ("gates", "words"),
    [
        ({"layer9.0.spatial": "open"}, "no gate 'layer9.0.spatial'"),
        ({"layer4.1.spatial": "ajar"}, "the words are: open"),
        ({"layer4.1.spatial": [[2]]}, "lie in 0..1"),
        ({"layer4.1.spatial": True}, "cannot be set to True"),
        ("open", "gates must map"),
        ("", "gates must map"),
        (0, "gates must map"),
        (False, "gates must map"),
        ([], "gates must map"),
        ([1], "gates must map"),
    ],
)
def test_gates_that_are_none_get_a_sentence(gates, words, photo, address):
    kind, answer = explain(address, [photo, gates], "what_if")
    assert kind == "error"
    assert words in answer["error"]


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({}, "required argument: photo"),
        ({"model": None}, "required argument: photo"),
        ({"photo": None, "colour": "red"}, "`colour` is not a valid"),
        ({"Photo": None}, "`Photo` is not a valid"),
    ],
)
def test_wrong_names_of_arguments_get_a_sentence(named, words, address):
    with pytest.raises(urllib.error.HTTPError) as refused:
        request(f"{address}gradio_api/call/v2/explain", json.dumps(named).encode())
    assert refused.value.code == 422
    assert words in json.load(refused.value)["detail"]


def test_the_parameters_have_names_in_the_docs(address):
    with urllib.request.urlopen(f"{address}gradio_api/info") as answer:
        endpoints = json.load(answer)["named_endpoints"]
    # Every one of them is in the README, and nothing else is public.
    readme = (ROOT / "README.md").read_text("utf-8")
    assert list(endpoints) == ["/explain", "/what_if"]
    assert all(f'api_name="{name}"' in readme for name in endpoints)
    endpoint = endpoints["/explain"]
    assert [p["label"] for p in endpoint["parameters"]] == ["photo", "model", "top_k"]
    assert [p["parameter_name"] for p in endpoint["parameters"]] == ["photo", "model", "top_k"]
    assert [r["label"] for r in endpoint["returns"]] == ["explanation"]


def call_tool(address: str, *calls: dict, tool: str = "explain") -> tuple[list, list]:
    """The tools there are, and what the one answers to each call."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    async def ask():
        async with (
            streamablehttp_client(f"{address}gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            return tools, [await session.call_tool(tool, call) for call in calls]

    with ThreadPoolExecutor(1) as pool:  # this thread may have the browser's event loop
        return pool.submit(asyncio.run, ask()).result()


@pytest.fixture(scope="module")
def sent() -> str:
    return "data:image/jpeg;base64," + base64.b64encode(COFFEE.read_bytes()).decode()


def test_a_language_model_gets_little_text_and_a_picture(sent, photo, address, expected):
    optional = {"model": None, "top_k": None, "block": None, "gates": None}
    tools, answers = call_tool(
        address,
        {"photo": sent},
        {"photo": sent} | optional,
        {"photo": photo["path"], "top_k": 2, "block": "layer2.0", "gates": True},
    )
    assert [tool.name for tool in tools] == ["explain", "what_if"]
    assert "attention" in tools[0].description
    assert tools[0].inputSchema["required"] == ["photo"]
    short, same, long = (answer.structuredContent for answer in answers)
    assert short == same
    assert short["predictions"] == expected["predictions"]
    assert "blocks" not in short
    assert long["blocks"] == expected["blocks"]
    assert long["block"]["name"] == "layer2.0"
    assert long["predictions"] == expected["predictions"][:2]
    for answer in answers:
        text, image = answer.content
        assert json.loads(text.text) == answer.structuredContent
        assert max(Image.open(BytesIO(base64.b64decode(image.data))).size) == 512
    assert len(answers[0].content[0].text) < 3000


def test_a_photo_in_base64_is_read_however_it_is_written(sent, address, expected):
    content = sent.partition(",")[2]
    lines = "\n".join(content[i : i + 76] for i in range(0, len(content), 76))
    photos = [
        f"data:image/jpeg;base64,{lines}\n",  # as the command base64 wraps it
        f"DATA:image/jpeg;name=a.jpg;BASE64,{content}",
        f"data:;base64,{content.replace('+', '-').replace('/', '_').rstrip('=')}",
        f"  {sent}  ",
        content,
    ]
    _, answers = call_tool(address, *({"photo": photo} for photo in photos))
    for answer in answers:
        assert not answer.isError, answer.content[0].text
        assert answer.structuredContent["predictions"] == expected["predictions"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "no photo was given"),
        ({"photo": 5}, "photo is no text but int"),
        ({"photo": "data:image/png;base64,§"}, "not valid base64"),
        ({"photo": "data:image/png,raw"}, "not valid base64"),
        ({"photo": "data:image/png;base64,bm8gcGhvdG8="}, "not an image"),
        ({"photo": "/etc/hostname"}, "was not uploaded here"),
        ({"photo": "https://example.org/a.jpg"}, "an address is not fetched"),
        ({"top_k": "three"}, "top_k must be a whole number"),
        ({"block": "layer9.9"}, "this model has: layer1.0"),
        ({"block": 4}, "block must be a block's name"),
        ({"gates": "yes"}, "gates must be true or false"),
        ({"colour": "red"}, "there are: photo, model, top_k, block, gates"),
    ],
)
def test_every_wrong_argument_of_the_tool_gets_a_sentence(arguments, words, sent, address):
    whole = arguments if "photo" in arguments or not arguments else {"photo": sent} | arguments
    _, (answer,) = call_tool(address, whole)
    assert answer.isError
    assert words in answer.content[0].text
    assert "Traceback" not in answer.content[0].text


@pytest.mark.parametrize(
    ("row", "column", "where"),
    [(0, 0, "upper left"), (0, 5, "upper middle"), (7, 9, "lower right"), (4, 5, "centre"),
     (4, 0, "left middle"), (7, 5, "lower middle")],
)  # fmt: skip
def test_the_highest_place_is_where_the_map_says(row, column, where):
    gate = np.full((7 + 1, 10), 0.2, np.float32)
    gate[row, column] = 0.9
    explanation = make_explanation((320, 256), spatial={"layer4.1": gate})
    short = summary(explanation, "layer4.1")
    assert short["block"]["highest"]["where"] == where
    assert where in short["in_words"] and "0.90" in short["in_words"]
    x, y = explanation.view.cell_centre(row, column, 32)
    assert abs(short["block"]["highest"]["x"] - x) <= 1 or x > 319
    assert abs(short["block"]["highest"]["y"] - y) <= 1 or y > 255
    assert small_overlay(explanation, "layer4.1").size == (320, 256)


def test_a_map_that_says_nothing_is_said_to():
    flat = np.full((8, 10), 0.5, np.float32)
    explanation = make_explanation(spatial={"layer4.1": flat}, untrained="drawn at random")
    words = summary(explanation, "layer4.1")["in_words"]
    assert "nearly constant" in words and "drawn at random" in words


def test_gates_set_by_hand_by_a_language_model(address, sent):
    tools, (good, bad) = call_tool(
        address, {"photo": sent, "gates": GATES}, {"photo": sent, "doors": {}}, tool="what_if"
    )
    assert [tool.name for tool in tools] == ["explain", "what_if"]
    expected = what_if_told(Explainer.from_pretrained(), COFFEE, GATES)
    assert good.structuredContent == roughly(expected)
    assert json.loads(good.content[0].text) == good.structuredContent
    assert bad.isError and "there is no argument 'doors'" in bad.content[0].text
