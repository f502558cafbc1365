"""The page in a real browser: Chromium as it is installed on this machine, driven by Playwright."""

import base64
import http.server
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import jax
import numpy as np
import pytest
from conftest import make_model
from PIL import Image

import pixel_rnn_jax as prnn

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("gradio")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")]
BLUE = (70, 98, 168)
MODEL, PATIENCE = "digits_rowlstm", 60_000  # milliseconds; most of them compile


@pytest.fixture(scope="module")
def tall(tmp_path_factory):
    """A model whose images have many rows, so that drawing takes a while."""
    path = tmp_path_factory.mktemp("tall") / "tall.safetensors"
    model, params = make_model("row_lstm", levels=4, depth=1, features=4, head_features=4)
    prnn.save(path, model, params, (400, 40), "npz:nowhere.npz")
    return path


@pytest.fixture(scope="module")
def address(tall, tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("log") / "log"
    command = [sys.executable, "-m", "pixel_rnn_jax.cli", "demo", f"--port={port}", "--no_browser", f"--workdir={tall}"]
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as server:
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(240):
                assert server.poll() is None, log.read_text()
                if address in log.read_text():
                    break
                time.sleep(0.5)
            yield address
            assert "pixel_rnn_jax/" not in log.read_text()  # no traceback of ours
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as run:
        browser = run.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, address):
    """Opens the page, chooses a model and a tab; the page must ask no other host for anything, and print no errors."""
    pages, problems = [], []

    def open_page(model=MODEL, tab="Draw", width=1280):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(PATIENCE)
        pages.append(page)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: request.url.startswith((address, "data:", "blob:")) or problems.append(request.url))
        page.goto(address)
        page.locator("#model input").click()
        page.get_by_role("option", name=re.compile(f"{model}$")).click()
        page.get_by_text(
            re.compile(prnn.from_pretrained(model).card["model"][:30] if model == MODEL else model)
        ).first.wait_for()
        page.get_by_role("tab", name=tab).click()
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not problems


def press(page, name):
    page.get_by_role("button", name=name, exact=True).locator("visible=true").click()


def wait_for(page, text):
    page.locator(".status:visible").filter(has_text=re.compile(text)).first.wait_for()
    return page.locator(".status:visible").first.inner_text()


def pictures(page):
    """The pictures on the page, as arrays, and their captions."""
    figures = page.locator(".pictures:visible figure")
    sources = figures.locator("img").evaluate_all("images => images.map(image => image.src)")
    arrays = [np.asarray(Image.open(io.BytesIO(saved(source)))) for source in sources]
    return np.stack(arrays), figures.locator("figcaption").all_inner_texts()


def saved(link):
    return base64.b64decode(link.partition("base64,")[2])


def rgb(images, levels):
    return np.asarray(prnn.to_picture(images, levels)).repeat(3, -1)


def numbers(captions):
    return [float(re.search(r"[−\d.]+", caption)[0].replace("−", "-")) for caption in captions]


@pytest.fixture(scope="module")
def digits():
    return prnn.from_pretrained(MODEL)


def test_what_is_drawn_is_what_python_draws(visit, digits):
    page = visit()
    page.get_by_label("number input for Images").fill("3")
    page.get_by_label("Seed").locator("visible=true").fill("5")
    press(page, "Draw")
    wait_for(page, r"Drawn in [\d.]+ s")
    expected = prnn.sample(digits.model, digits.params, jax.random.key(5), 3, (8, 8))
    found, captions = pictures(page)
    np.testing.assert_array_equal(found, rgb(expected, 17))
    np.testing.assert_allclose(numbers(captions), prnn.log_prob(digits.model, digits.params, expected), atol=0.06)
    page.get_by_role("link", name="Arrays, npz").wait_for()
    with np.load(io.BytesIO(saved(page.get_by_role("link", name="Arrays, npz").get_attribute("href")))) as arrays:
        np.testing.assert_array_equal(arrays["images"], expected)
        assert arrays["log_prob"].shape == (3,)


def test_digits_of_a_class(visit):
    page = visit("digits_class_conditional")
    page.locator("#class input").click()
    page.get_by_role("option", name="7", exact=True).click()
    page.get_by_label("number input for Images").fill("4")
    press(page, "Draw")
    wait_for(page, "Drawn in")
    model = prnn.from_pretrained("digits_class_conditional")
    expected = prnn.sample(model.model, model.params, jax.random.key(0), 4, (8, 8), labels=np.full(4, 7))
    np.testing.assert_array_equal(pictures(page)[0], rgb(expected, 17))


def test_the_first_image_of_mnist_appears_within_two_seconds_once_compiled(visit):
    page = visit("mnist_diagonal_bilstm")
    press(page, "Draw")
    wait_for(page, "Drawn in")
    page.get_by_label("Seed").locator("visible=true").fill("1")
    before = pictures(page)[0]
    start = time.perf_counter()
    press(page, "Draw")
    while np.array_equal(pictures(page)[0], before):
        page.wait_for_timeout(20)
    assert time.perf_counter() - start < 2
    wait_for(page, "Drawn in")


def test_a_long_drawing_is_watched_and_stopped_while_another_visitor_waits(visit, digits):
    first, second = visit("tall.safetensors"), visit()
    first.get_by_label("number input for Images").fill("1")
    press(first, "Draw")
    wait_for(first, "Drawing")
    second.get_by_label("number input for Images").fill("1")
    press(second, "Draw")
    second.get_by_text(re.compile(r"queue: \d/\d")).first.wait_for()
    some = pictures(first)[0][0]
    assert np.all(some[-1] == BLUE) and np.any(some[0] != BLUE)
    press(first, "Stop")
    wait_for(first, "Stopped")
    wait_for(second, "Drawn in")
    expected = prnn.sample(digits.model, digits.params, jax.random.key(0), 1, (8, 8))
    np.testing.assert_array_equal(pictures(second)[0], rgb(expected, 17))
    assert np.all(pictures(first)[0][0][-1] == BLUE)


def test_a_seed_out_of_range_is_told_in_one_line(visit):
    page = visit()
    page.get_by_label("Seed").locator("visible=true").fill("-1")
    press(page, "Draw")
    page.get_by_text("The seed must be an integer from 0 to 4294967295; got -1.").wait_for()


def paint(page):
    """Paints over the lower left of the canvas with the mouse."""
    page.wait_for_timeout(2000)
    page.locator("#editor canvas").first.scroll_into_view_if_needed()
    box = page.locator("#editor canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 80, y + 40)
    page.mouse.down()
    for down in range(0, 60, 15):
        page.mouse.move(x - 80, y + 40 + down, steps=4)
        page.mouse.move(x, y + 40 + down, steps=6)
    page.mouse.up()
    page.wait_for_timeout(500)


def test_what_is_erased_is_completed_as_python_completes_it(visit, digits):
    page = visit(tab="Complete")
    paint(page)
    page.get_by_label("number input for Completions").fill("3")
    press(page, "Complete")
    status = wait_for(page, "Drawn in")
    (start, *found), captions = pictures(page)
    known = np.any(start != BLUE, -1)
    assert 3 < (~known).sum() < 40
    order = np.arange(64).reshape(8, 8)
    unused = (known & (order > order[~known].max())).sum()
    assert not unused or f"The {unused} known pixels after the hole cannot be used" in status
    images = digits.examples(1).repeat(3, 0)
    expected = prnn.complete(digits.model, digits.params, jax.random.key(0), images, known)
    nats = np.where(known[..., None], 0, prnn.log_probs(digits.model, digits.params, expected)).sum((1, 2, 3))
    by_nats = np.argsort(-nats, kind="stable")
    np.testing.assert_array_equal(found, rgb(np.asarray(expected)[by_nats], 17))
    np.testing.assert_allclose(numbers(captions[1:]), nats[by_nats], atol=0.06)


def test_known_pixels_are_those_of_the_image(visit):
    """Of colours, on a narrow page: the editor must not resize what the model is given."""
    page = visit("cifar_pixelcnn_small", tab="Complete", width=390)
    paint(page)
    page.get_by_label("number input for Completions").fill("1")
    press(page, "Complete")
    page.locator(".pictures:visible figure").first.wait_for(timeout=3 * PATIENCE)
    press(page, "Stop")
    start = pictures(page)[0][0]
    known = np.any(start != BLUE, -1)
    assert 0.01 < np.mean(~known) < 0.6
    np.testing.assert_array_equal(start[known], prnn.from_pretrained("cifar_pixelcnn_small").examples(1)[0][known])


def test_a_canvas_without_a_hole_or_empty(visit):
    page = visit(tab="Complete")
    page.wait_for_timeout(2000)
    press(page, "Complete")
    page.get_by_text("Nothing is erased: paint over a part of the picture in pink.").wait_for()
    page.get_by_label("Clear canvas").click()
    press(page, "Complete")
    page.get_by_text("There is no picture").wait_for()


def test_an_uploaded_picture_is_completed(visit, tmp_path):
    ramp = np.linspace(0, 255, 300).astype(np.uint8)
    Image.fromarray(np.broadcast_to(ramp, (200, 300))).save(tmp_path / "wide.png")
    (tmp_path / "fake.png").write_bytes(b"no picture")
    page = visit(tab="Complete")
    page.get_by_test_id("Upload a picture-upload-button").first.set_input_files(tmp_path / "fake.png")
    page.get_by_text("The picture is no PNG, JPEG, WebP or TIFF image").wait_for()
    page.get_by_test_id("Upload a picture-upload-button").first.set_input_files(tmp_path / "wide.png")
    paint(page)
    press(page, "Complete")
    wait_for(page, "Drawn in")
    start = pictures(page)[0][0][0, :, 0]  # its upper row: the middle of the ramp
    assert np.all(np.diff(start.astype(int)) > 0) and start[0] > 20


def upload(page, place, *files):
    page.locator(f"#{place} input[type=file]").set_input_files(list(files))
    page.locator(f"#{place}").get_by_label(files[-1].name).first.wait_for()


def test_uploads_are_scored(visit, digits, tmp_path):
    pictures_of = prnn.to_picture(digits.examples(2)[..., 0], 17)
    files = [tmp_path / f"{number}.png" for number in range(2)]
    for file, picture in zip(files, pictures_of, strict=True):
        Image.fromarray(picture).save(file)
    page = visit(tab="Score")
    upload(page, "score-files", *files)
    press(page, "Score")
    assert "2 pictures" in wait_for(page, "on average")
    bits = [float(re.search(r": ([\d.]+) bits", caption)[1]) for caption in pictures(page)[1]]
    np.testing.assert_allclose(bits, digits.bits_per_dim(pictures_of[..., None]), atol=6e-4)
    assert page.get_by_alt_text("histogram of scores").is_visible()


@pytest.mark.parametrize(
    "name,content,message",
    [
        ("fake.png", b"#!/bin/sh", "Picture 1 is no PNG, JPEG, WebP or TIFF image, is damaged"),
        ("huge.png", (9000, 9000), "Picture 1 must have at most 16,777,216 pixels; it has 9000x9000."),
        ("small.png", (4, 4), "Picture 1 is 4x4 pixels, smaller than 8x8"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_line(visit, tmp_path, name, content, message):
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        Image.new("1", content).save(tmp_path / name)
    page = visit(tab="Score")
    upload(page, "score-files", tmp_path / name)
    press(page, "Score")
    page.get_by_text(message).wait_for()


def test_too_many_pictures(visit, tmp_path):
    files = [tmp_path / f"{number:02}.png" for number in range(17)]
    for file in files:
        Image.new("L", (8, 8)).save(file)
    page = visit(tab="Compress")
    upload(page, "compress-files", *files)
    press(page, "Compress")
    page.get_by_text("There can be at most 16 pictures; these are 17.").wait_for()


def test_too_large_an_upload_is_refused(visit, tmp_path):
    (tmp_path / "large.png").write_bytes(b"\0" * (5 * 2**20))
    page = visit(tab="Score")
    page.locator("#score-files input[type=file]").set_input_files(tmp_path / "large.png")
    page.get_by_text(re.compile("maximum|exceeds|too large", re.IGNORECASE)).first.wait_for()


def test_a_clicked_pixel_is_looked_into(visit, digits):
    page = visit(tab="Look inside")
    box = page.locator("#look-inside img").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 5.5 / 8, box["y"] + box["height"] * 4.5 / 8)
    wait_for(page, "Row 5, column 6")
    image = digits.examples(1)
    influence = np.asarray(prnn.dependencies(digits.model, digits.params, image, 4, 5))
    page.get_by_text(f"It depends on {(influence > 0).sum()} of the 37 pixels before it").wait_for()
    assert page.get_by_alt_text(f"probability of each value; true: {image[0, 4, 5, 0]}").is_visible()


def test_an_uploaded_picture_is_looked_into(visit, tmp_path):
    Image.fromarray(np.uint8(np.arange(64).reshape(8, 8) * 4)).save(tmp_path / "ramp.png")
    page = visit(tab="Look inside")
    page.get_by_test_id("Upload a picture-upload-button").last.set_input_files(tmp_path / "ramp.png")
    page.wait_for_timeout(2000)
    box = page.locator("#look-inside img").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 7.5 / 8, box["y"] + box["height"] * 7.5 / 8)
    wait_for(page, "Row 8, column 8")
    page.get_by_alt_text("probability of each value; true: 16").wait_for()


def test_a_compressed_file_comes_back(visit, digits, tmp_path):
    page = visit(tab="Compress")
    press(page, "Compress")
    status = wait_for(page, "bytes")
    blob = saved(page.get_by_role("link", name="Save pictures.prnn").get_attribute("href"))
    assert f"{len(blob):,} bytes" in status
    images = digits.examples(16)
    np.testing.assert_array_equal(prnn.decompress(digits.model, digits.params, blob), images)
    (tmp_path / "x.prnn").write_bytes(blob)
    (tmp_path / "y.prnn").write_bytes(blob[:-9])
    upload(page, "coded-file", tmp_path / "x.prnn")
    press(page, "Decode")
    wait_for(page, "bit for bit")
    np.testing.assert_array_equal(pictures(page)[0], rgb(images, 17))
    page.locator("#coded-file").get_by_label("Clear").click()
    upload(page, "coded-file", tmp_path / "y.prnn")
    press(page, "Decode")
    page.get_by_text("the .prnn file is damaged or cut off").wait_for()


@pytest.mark.parametrize("tab", ["Draw", "Complete", "Score", "Look inside", "Compress"])
def test_the_page_is_no_wider_than_a_telephone(visit, tab):
    page = visit(tab=tab, width=390)
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.skipif(os.getloadavg()[0] > 2 * os.cpu_count(), reason="other processes are at work")
def test_the_page_loads_within_three_seconds(browser, address):
    seconds = []
    for _ in range(3):  # the quickest: other processes may be at work
        context = browser.new_context()
        page, start = context.new_page(), time.perf_counter()
        page.goto(address)
        page.get_by_role("button", name="Draw", exact=True).wait_for()
        seconds.append(time.perf_counter() - start)
        context.close()
    assert min(seconds) < 3


@pytest.mark.parametrize("path", ["/etc/passwd", "setup.cfg", "pixel_rnn_jax/__init__.py"])
def test_no_file_of_the_server_is_served(address, path):
    with pytest.raises(urllib.error.HTTPError, match="403|404"):
        urllib.request.urlopen(f"{address}/gradio_api/file={path}")


def ask(address, path, body):
    headers = {"Content-Type": "application/json"}
    return urllib.request.urlopen(urllib.request.Request(f"{address}/gradio_api/{path}", json.dumps(body).encode(), headers))


def answered(address, event, data):
    """What an event answers at its end."""
    ask(address, "queue/join", {"data": data, "fn_index": event["id"], "session_hash": "visitor"})
    with urllib.request.urlopen(f"{address}/gradio_api/queue/data?session_hash=visitor") as lines:
        return next(line for line in map(bytes.decode, lines) if "process_completed" in line)


@pytest.fixture
def other_host():
    """Another server on this machine, and what it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/x.png", asked
        server.shutdown()


@pytest.mark.parametrize("path", ["/etc/passwd", __file__, "of another host"])
def test_no_path_or_address_that_a_visitor_names_is_read(address, other_host, path):
    """As a program could send it, where the page sends the path of an upload."""
    other, asked = other_host
    events = json.load(urllib.request.urlopen(f"{address}/config"))["dependencies"]
    upload, *_ = [event for event in events if any(kind == "upload" for _, kind in event["targets"])]
    upload_of = {"path": other if path == "of another host" else path, "meta": {"_type": "gradio.FileData"}}
    data = [None] * (len(upload["inputs"]) - 1) + [upload_of]
    answer = answered(address, upload, data)
    assert '"success":false' in answer and len(answer) < 500
    assert "The picture" not in answer and "root:" not in answer  # refused before it was opened
    assert ("no address is read" in answer) == (path == "of another host")
    assert not asked


def test_visitors_are_told_no_paths(address, tall):
    config = urllib.request.urlopen(f"{address}/config").read().decode()
    assert "tall.safetensors" in config and str(tall.parent) not in config


def test_paint_that_is_too_large_is_not_decoded(address, tmp_path):
    Image.new("1", (9000, 9000)).save(tmp_path / "x.png")
    boundary = "x" * 30
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="x.png"\r\n\r\n'
    body = head.encode() + (tmp_path / "x.png").read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    (path,) = json.load(urllib.request.urlopen(urllib.request.Request(f"{address}/gradio_api/upload", body, headers)))
    config = json.load(urllib.request.urlopen(f"{address}/config"))
    (editor,) = [part["id"] for part in config["components"] if part["props"].get("elem_id") == "editor"]
    (event,) = [event for event in config["dependencies"] if editor in event["inputs"]]
    layer = {"path": path, "meta": {"_type": "gradio.FileData"}}
    drawing = {"background": layer, "layers": [layer], "composite": None}
    answer = answered(address, event, [MODEL, "", drawing, None, 1, 1, 0])
    assert "The drawing must have at most 16,777,216 pixels; it has 9000x9000." in answer


def test_the_editor_takes_no_blobs(address):
    parts = json.load(urllib.request.urlopen(f"{address}/config"))["components"]
    (editor,) = [part["id"] for part in parts if part["props"].get("elem_id") == "editor"]
    body = {"session_hash": "visitor", "component_id": editor, "fn_name": "accept_blobs", "data": {}}
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(address, "component_server", body)
