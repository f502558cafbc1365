"""What the page does, without a browser; and what is said where Gradio is missing."""

import functools
import re
import runpy
import shutil
import sys
import threading
import types

import numpy as np
import pytest
from conftest import ROOT, make_model, run_in_process
from PIL import Image

import pixel_rnn_jax as prnn
from pixel_rnn_jax.cli import demo as command

DEMO = ROOT / "pixel_rnn_jax" / "demo"
PINK, WHITE, CLEAR = (255, 64, 129, 255), (255, 255, 255, 255), (0, 0, 0, 0)


def test_without_gradio_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert run_in_process(command.main) == "error: `pixel-rnn demo` needs Gradio: pip install 'pixel-rnn-jax[demo]'"


def test_a_port_that_cannot_be_is_told_in_one_line(capsys):
    for port in ("0", "99999"):
        assert run_in_process(command.main, f"--port={port}") == 2
        assert f"--port: {port} must be from 1 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted(DEMO.glob("*.py")), ids=lambda path: path.name)
def test_the_page_calls_the_public_api_only(path):
    lines = [line for line in path.read_text().splitlines() if "pixel_rnn_jax" in line and "import" in line.split()]
    allowed = ("import pixel_rnn_jax as prnn", "from pixel_rnn_jax.demo import ", "from pixel_rnn_jax.demo.")
    assert all(line.startswith(allowed) for line in lines), lines


@pytest.fixture(scope="module")
def parts():
    """The modules of the page; importing Gradio takes seconds."""
    pytest.importorskip("gradio")
    from pixel_rnn_jax.demo import app, complete, compress, look_inside, models, score, show, work

    return types.SimpleNamespace(
        app=app,
        complete=complete,
        compress=compress,
        look_inside=look_inside,
        models=models,
        score=score,
        show=show,
        work=work,
    )


@pytest.fixture(scope="module")
def digits():
    return prnn.from_pretrained("digits_rowlstm")


@pytest.fixture
def paint(parts, tmp_path):
    """Makes what the editor gives: a layer with strokes, each the colour of a box of pixels of an image on the canvas."""

    def make(size, *strokes, below=True):
        side = parts.complete.CANVAS
        layer, (first_row, first_column, height, width) = np.full((side, side, 4), CLEAR, np.uint8), parts.complete.place(size)
        for (top, left, bottom, right), colour in strokes:
            rows, columns = (
                slice(first + start * total // sides, first + end * total // sides)
                for first, start, end, total, sides in (
                    (first_row, top, bottom, height, size[0]),
                    (first_column, left, right, width, size[1]),
                )
            )
            layer[rows, columns] = colour
        Image.fromarray(layer).save(tmp_path / "layer.png")
        return below, [str(tmp_path / "layer.png")]

    return make


def test_pink_hides_and_white_draws(parts, paint, digits):
    drawing = paint((8, 8), ((2, 1, 4, 5), PINK), ((5, 0, 6, 8), WHITE))
    before = digits.examples(1)
    image, known = parts.complete.read(drawing, before, digits)
    expected = np.ones((8, 8), bool)
    expected[2:4, 1:5] = False
    np.testing.assert_array_equal(known, expected)
    assert np.all(image[5] == 16)
    np.testing.assert_array_equal(np.delete(image, 5, 0), np.delete(before[0], 5, 0))


@pytest.mark.parametrize("size,channels", [((400, 40), 1), ((7, 30), 1), ((32, 32), 3), ((1000, 500), 1)])
def test_pixels_without_paint_stay_as_they_are(parts, paint, tmp_path, size, channels):
    module, params = make_model("row_lstm", channels=channels, levels=256)
    prnn.save(tmp_path / "x.safetensors", module, params, size)
    model = prnn.from_pretrained(tmp_path / "x.safetensors")
    image = np.random.default_rng(0).integers(0, 256, (1, *size, channels)).astype(np.uint8)
    half = size[0] // 2
    new, known = parts.complete.read(paint(size, ((half, 0, *size), PINK)), image, model)
    np.testing.assert_array_equal(new, image[0])
    np.testing.assert_array_equal(known, (np.arange(size[0]) < half)[:, None].repeat(size[1], 1))


def test_a_canvas_shows_the_whole_image(parts):
    """Of an image that is not square, too: in the middle, between grey margins."""
    image = np.random.default_rng(0).integers(0, 17, (1, 8, 4, 1)).astype(np.uint8)
    shown = parts.complete.canvas("digits_rowlstm", image)
    picture = shown.editor["background"]
    assert picture.shape == (448, 448, 3)
    np.testing.assert_array_equal(picture[28::56, 112 + 28 : 336 : 56], parts.show.rgb(image, 17)[0])
    assert np.all(picture[:, :112] == parts.complete.MARGIN)


@pytest.mark.parametrize("drawing", ["nothing", "no paint"])
def test_an_empty_canvas(parts, paint, digits, drawing):
    drawing = (False, []) if drawing == "nothing" else paint((8, 8), below=False)
    with pytest.raises(prnn.InputError, match="There is no picture"):
        parts.complete.read(drawing, parts.models.black("digits_rowlstm"), digits)


def test_layers_of_paint_are_limited(parts, digits, tmp_path):
    Image.new("1", (9000, 9000)).save(tmp_path / "x.png")
    editor_data = parts.complete.EditorData(layers=[{"path": str(tmp_path / "x.png")}])
    for drawing, message in (
        (parts.complete.painted(editor_data), "The drawing must have at most 16,777,216 pixels; it has 9000x9000"),
        ((True, ["x"] * 4), "at most 3 layers of paint; these are 4"),
    ):
        with pytest.raises(prnn.InputError, match=message):
            parts.complete.read(drawing, digits.examples(1), digits)


def test_it_is_said_how_many_known_pixels_come_too_late(parts, digits):
    known = np.ones((8, 8), bool)
    known[2, 3] = False
    assert "The 44 known pixels after the hole" in parts.complete.note_unused(digits, known)
    assert parts.complete.note_unused(digits, np.arange(64).reshape(8, 8) < 50) == ""


def test_faults_become_one_line_and_bugs_stay_on_the_server(parts, capsys):
    def fault(text):
        raise prnn.InputError(text)

    def bug():
        yield 1 / 0

    with pytest.raises(parts.work.gr.Error) as told:
        parts.work.told(fault)("two\nlines")
    assert told.value.message == "two lines"
    assert capsys.readouterr().err == ""
    with pytest.raises(parts.work.gr.Error) as told:
        list(parts.work.told(bug)())
    assert told.value.message == "Something went wrong on the server. Its log says what."
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_faults_of_libraries_are_not_the_visitors(parts, capsys):
    with pytest.raises(parts.work.gr.Error, match="Something went wrong on the server"):
        parts.work.told(int)("x")
    assert "ValueError" in capsys.readouterr().err


def test_long_messages_are_cut(parts):
    def fault():
        raise prnn.InputError("decoded on " + "x " * 10_000)

    with pytest.raises(parts.work.gr.Error) as told:
        parts.work.told(fault)()
    assert told.value.message.startswith("decoded on") and len(told.value.message) <= 500


def test_pictures_are_numbered_from_one(parts, digits, tmp_path):
    for number, side in enumerate((9, 4), 1):
        Image.new("L", (side, side)).save(tmp_path / f"{number}.png")
    with pytest.raises(prnn.InputError, match="^Picture 2 is 4x4 pixels, smaller than 8x8"):
        parts.work.uploaded([str(tmp_path / "1.png"), str(tmp_path / "2.png")], "digits_rowlstm", digits)


def test_jobs_that_were_stopped_are_never_at_work_beside_the_next(parts, monkeypatch):
    monkeypatch.setattr(parts.work, "SHOWN_EVERY", 0.01)
    at_work, most, done, go_on = [], [], [], threading.Event()

    def job(name):
        at_work.append(name)
        most.append(len(at_work))
        go_on.wait(10)
        at_work.remove(name)
        done.append(name)
        return name

    jobs = [parts.work.waiting(functools.partial(job, name), ("kind", name), str) for name in "abc"]
    statuses = [next(jobs[0]), next(jobs[1]), next(jobs[2])]
    jobs[0].close()
    jobs[1].close()
    threading.Timer(0.1, go_on.set).start()
    assert list(jobs[2])
    assert statuses[0].startswith("Compiling")
    assert statuses[1:] == ["Waiting for a stopped job to end …"] * 2
    assert max(most) == 1 and done == ["a", "c"]


def test_rows_wait_for_a_stopped_job_too(parts, monkeypatch):
    threads = []

    def rows():
        for number in range(3):
            threads.append(threading.current_thread().name)
            yield number

    shown = [progress for _, progress in parts.work.row_by_row(rows(), ("rows",)) if progress is not None]
    assert shown == [0, 1, 2, 2]
    assert len(set(threads)) == 1 and threads[0] != threading.current_thread().name


def test_stop_says_so_only_where_something_was_at_work(parts):
    assert parts.work.stopped("<p>Drawing …</p>") == parts.show.line("Stopped.")
    assert parts.work.stopped("<p>Drawn in 3 s.</p>") == "<p>Drawn in 3 s.</p>"


def test_no_address_is_read_and_a_gradio_that_reads_them_otherwise_is_refused(parts, monkeypatch, tmp_path):
    with pytest.raises(parts.work.gr.Error, match="no address is read"):
        parts.work.gr.File().async_move_resource_to_block_cache("http://127.0.0.1:9/x.png").send(None)
    monkeypatch.delattr(parts.work.gr.processing_utils, "async_ssrf_protected_download")
    with pytest.raises(ImportError, match="fetches addresses by another function"):
        runpy.run_path(str(DEMO / "work.py"))


def test_visitors_see_names_not_paths(parts, tmp_path):
    model, params = make_model("row_lstm", levels=4)
    paths = [tmp_path / folder / "tiny.safetensors" for folder in "ab"]
    for path in paths:
        path.parent.mkdir()
        prnn.save(path, model, params, (4, 4))
    names = parts.models.offered([str(paths[0]), str(paths[1]), str(paths[0]), "digits_rowlstm"])
    assert names[:3] == ["tiny.safetensors", "tiny.safetensors (2)", "digits_rowlstm"]
    assert len(set(names)) == len(names)


def test_what_compiles_says_so_once(parts, monkeypatch):
    monkeypatch.setattr(parts.work, "_compiled", set())
    monkeypatch.setattr(parts.work, "SHOWN_EVERY", 0.01)
    sleep = lambda: parts.work.time.sleep(0.1)  # noqa: E731
    first, again = (list(parts.work.waiting(sleep, ("kind",), str)) for _ in range(2))
    assert first[0] == "Compiling, 0 s so far, once …"
    assert again[0] == "At work, 0 s …"


@pytest.mark.parametrize("seed", [-1, 2**32, None])
def test_bad_seeds(parts, seed):
    with pytest.raises(prnn.InputError, match=f"The seed must be an integer from 0 to 4294967295; got {seed}"):
        parts.work.seed(seed)


def test_models_that_the_page_cannot_show_are_refused_at_the_start(parts, tmp_path):
    model, params = make_model("row_lstm", channels=2, levels=4)
    prnn.save(tmp_path / "two.safetensors", model, params, (4, 4))
    with pytest.raises(prnn.InputError, match="1 or 3 channels .* has 2 channels"):
        parts.models.offered([str(tmp_path / "two.safetensors")])


def test_numbers_of_images_are_filled_up(parts):
    assert [parts.models.filled(count) for count in (1, 2, 4, 5, 16)] == [1, 4, 4, 16, 16]


def test_a_class_must_be_chosen_where_pictures_do_not_tell_it(parts):
    model = prnn.from_pretrained("digits_class_conditional")
    with pytest.raises(prnn.InputError, match="choose one at the top of the page"):
        parts.models.labels_of(model, "", 2)
    np.testing.assert_array_equal(parts.models.labels_of(model, "7", 2), [7, 7])
    np.testing.assert_array_equal(parts.models.labels_to_draw(model, "", 3), [0, 1, 2])
    assert parts.models.labels_of(prnn.from_pretrained("digits_rowlstm"), "", 2) is None


def test_scores_say_which_class_they_are_given(parts):
    """The most probable class, if none is chosen: the score is not log p(x) then."""
    name = "digits_class_conditional"
    model = prnn.from_pretrained(name)
    images = model.examples(2)
    pictures, likely = prnn.to_picture(images, 17), model.classify(prnn.to_picture(images, 17)).names
    for label, given in (("", [f"class {found} (most probable)" for found in likely]), ("7", ["class 7"] * 2)):
        surprise, words = parts.score.surprise_of(model, images, label)
        assert words == [f", given {text}" for text in given]
        expected = [model.log_prob(picture, label or found)[0] for picture, found in zip(pictures, likely, strict=True)]
        np.testing.assert_allclose(-surprise.sum((1, 2, 3)), expected, rtol=1e-5)


def test_sheets_and_maps(parts):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    assert parts.show.sheet(pictures).shape == (2 * 136, 2 * 136, 3)
    influence = np.array([[0.0, 1e-9], [1e-2, 1.0]])
    colours = parts.look_inside.influence_map(influence)
    np.testing.assert_array_equal(colours[0, 0], parts.look_inside.NONE)
    brightness = colours.sum(-1, dtype=int)
    assert brightness[0, 1] < brightness[1, 0] < brightness[1, 1]


def test_pictures_are_whole_files_inside_the_page(parts):
    text = parts.show.grid([np.zeros((2, 2, 3), np.uint8)], ["<b>"])
    assert "<b>" not in text and "&lt;b&gt;" in text and "data:image/png;base64," in text


def test_an_upload_is_opened_only_as_a_picture(parts, tmp_path):
    (tmp_path / "x.png").write_text("%!PS")
    Image.new("1", (5000, 4000)).save(tmp_path / "y.png")
    Image.effect_noise((40, 40), 50).save(tmp_path / "z.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "z.png").read_bytes()[:400])
    for name, message in (
        ("x.png", "is no PNG"),
        ("cut.png", "is damaged"),
        ("y.png", "at most 16,777,216 pixels; it has 5000x4000"),
    ):
        with pytest.raises(prnn.InputError, match=message):
            parts.work.opened(str(tmp_path / name), "Picture 1")


@pytest.fixture
def looked(parts, tmp_path, monkeypatch):
    """What the tab shows at the end, of a small model."""

    def look(place, colour="blue", **fields):
        module, params = make_model("row_lstm", **{"channels": 1, "levels": 4, **fields})
        prnn.save(tmp_path / "tiny.safetensors", module, params, (4, 4))
        (name, *_) = parts.models.offered([str(tmp_path / "tiny.safetensors")])
        images = np.random.default_rng(0).integers(0, 4, (1, 4, 4, module.config.channels)).astype(np.uint8)
        return list(parts.look_inside.look(name, "", images, place, colour))[-1]

    return look


def test_the_map_of_a_colour_model_is_of_the_chosen_channel(looked):
    red, blue = (looked((2, 1), colour, channels=3) for colour in ("red", "blue"))
    assert "Red depends on " in red.influence and "of the 9 pixels before it" in red.influence
    assert "Blue depends on " in blue.influence
    assert "probability of each value" in red.bars


def test_a_model_that_embeds_values_has_bars_but_no_map(looked):
    shown = looked((2, 1), input="embedding", embedding_features=4)
    assert "no map" in shown.influence and "probability of each value" in shown.bars


def test_without_a_clicked_pixel_nothing_changes(looked, parts):
    assert looked(None) == (parts.work.gr.skip(),) * 4


def test_another_model_of_the_same_images_keeps_picture_and_pixel(parts):
    skip = parts.work.gr.skip()
    assert set(map(str, parts.look_inside.of_model("mnist_pixelcnn", "mnist_rowlstm")[1:])) == {str(skip)}
    assert parts.complete.of_model("mnist_pixelcnn", "mnist_rowlstm") == ("mnist_pixelcnn", skip, skip)
    _, _, images, place, *_ = parts.look_inside.of_model("digits_pixelcnn", "mnist_rowlstm")
    assert images.shape == (1, 8, 8, 1) and place is None
    assert parts.complete.of_model("digits_pixelcnn", "mnist_rowlstm")[2].shape == (1, 8, 8, 1)


def test_sizes_beside_other_formats_are_those_of_python(parts):
    *_, (_, result) = parts.compress.compress("digits_rowlstm", "", None)
    images = prnn.from_pretrained("digits_rowlstm").examples(16)
    for name, size in prnn.encoded_sizes(images, 17).items():
        assert f"<th>{name}</th><td>{size:,} bytes</td>" in result


def test_the_one_file_of_a_space_runs_outside_the_checkout(parts, tmp_path, monkeypatch):
    shutil.copy(DEMO / "app.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert callable(runpy.run_path("app.py")["serve"])
    page = (ROOT / "docs" / "demo.md").read_text()
    front_matter = dict(re.findall(r"^ +(\w+): \"?([^\"\n]+)", page, re.MULTILINE))
    assert front_matter["sdk"] == "gradio" and front_matter["app_file"] == "app.py"
    version = lambda text: tuple(map(int, text.split(".")))  # noqa: E731
    (needed,) = re.findall(r"python_requires = >=([\d.]+)", (ROOT / "setup.cfg").read_text())
    assert version(front_matter["python_version"]) >= version(needed)
    assert (6, 31) <= version(front_matter["sdk_version"]) < (7,)
