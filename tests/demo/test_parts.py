"""What the page does, without a browser; and what is said where Gradio is missing."""

import sys
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


@pytest.mark.parametrize("path", sorted(DEMO.glob("*.py")), ids=lambda path: path.name)
def test_the_page_calls_the_public_api_only(path):
    lines = [line for line in path.read_text().splitlines() if "pixel_rnn_jax" in line and "import" in line.split()]
    allowed = ("import pixel_rnn_jax as prnn", "from pixel_rnn_jax.demo import ", "from pixel_rnn_jax.demo.")
    assert all(line.startswith(allowed) for line in lines), lines


@pytest.fixture(scope="module")
def parts():
    """The modules of the page; importing Gradio takes seconds."""
    pytest.importorskip("gradio")
    from pixel_rnn_jax.demo import app, complete, look_inside, models, show, work

    return types.SimpleNamespace(app=app, complete=complete, look_inside=look_inside, models=models, show=show, work=work)


@pytest.fixture(scope="module")
def digits():
    return prnn.from_pretrained("digits_rowlstm")


def canvas(parts, *, background=(0, 0, 0, 255), **strokes):
    """What the editor gives for an 8x8 picture with strokes: the colour of a slice of rows and columns."""
    side = parts.complete.CANVAS
    layer = np.full((side, side, 4), CLEAR, np.uint8)
    for place, colour in strokes.values():
        top, left, bottom, right = (side // 8 * number for number in place)
        layer[top:bottom, left:right] = colour
    return {"background": np.full((side, side, 4), background, np.uint8), "layers": [layer], "composite": None}


def test_pink_hides_and_white_draws(parts, digits):
    drawing = canvas(parts, hole=((2, 1, 4, 5), PINK), stroke=((5, 0, 6, 8), WHITE))
    image, known = parts.complete.read(drawing, digits)
    expected = np.ones((8, 8), bool)
    expected[2:4, 1:5] = False
    np.testing.assert_array_equal(known, expected)
    np.testing.assert_array_equal(image[..., 0] == 16, np.arange(64).reshape(8, 8) // 8 == 5)


def test_a_pink_picture_is_not_a_hole(parts, digits):
    _, known = parts.complete.read(canvas(parts, background=PINK), digits)
    assert known.all()


@pytest.mark.parametrize("drawing", [None, {"background": None, "layers": [np.zeros((9, 9, 4), np.uint8)], "composite": None}])
def test_an_empty_canvas(parts, digits, drawing):
    with pytest.raises(prnn.InputError, match="There is no picture"):
        parts.complete.read(drawing, digits)


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
