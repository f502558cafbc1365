import shutil

import chex
import numpy as np
import pytest
from conftest import tiny_config

import pixel_rnn_jax as prnn
from pixel_rnn_jax.evaluation.score import Scorer
from pixel_rnn_jax.parallel.mesh import make_mesh
from pixel_rnn_jax.storage.checkpoint import Checkpoints
from pixel_rnn_jax.storage.run_record import Validations
from pixel_rnn_jax.training.run import prepare

# When one array is damaged, TensorStore's threads that read the others complain after the error.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def test_load_needs_nothing_but_the_path(tiny_run):
    workdir, score = tiny_run
    model, params = prnn.load(workdir)
    assert model.config == prnn.ModelConfig(
        layer="row_lstm", depth=1, features=4, head_features=4, levels=17, channels=1, dropout=model.config.dropout
    )
    images = prepare(tiny_config()).data.images("test")
    assert Scorer(model, params, make_mesh(), 16).evaluate("test", images) == score
    model_again, params_again = prnn.load(str(workdir))
    assert model_again == model
    chex.assert_trees_all_equal(params, params_again)


def test_validations_without_improvement_are_counted():
    validations, improved = Validations(), []
    for step, nats in enumerate([3.0, 2.0, 2.0, 2.5, 1.0, float("nan")]):
        validations = validations.add(step, nats)
        improved.append(validations.best_step == step)
    assert improved == [True, True, False, False, True, False]
    assert validations == Validations(best_nats=1.0, best_step=4, stale=1)
    validations = validations.add(6, 0.5, live_units=3, relu_units=8).add(7, 0.6, live_units=2, relu_units=8)
    assert (validations.live_units, validations.relu_units) == (3, 8)
    assert not validations.exhausted(0)
    assert not validations.exhausted(2)
    assert validations.exhausted(1)


@pytest.mark.parametrize("name", ["a b", "x#y", "x?y", "p%41q"])
def test_any_path_will_do(tiny_run, tmp_path, name):
    shutil.copytree(tiny_run[0], tmp_path / name)
    chex.assert_trees_all_equal(prnn.load(tmp_path / name)[1], prnn.load(tiny_run[0])[1])


def test_a_missing_best_checkpoint_is_not_replaced_by_a_worse_one(tiny_run, tmp_path):
    """The record of the last checkpoint names the best one; here it is made to name one that is gone."""
    shutil.copytree(tiny_run[0], tmp_path / "run")
    with Checkpoints(tmp_path / "run") as checkpoints:
        best, last = checkpoints.best_step, checkpoints.latest_step
    metadata = tmp_path / "run" / "checkpoints" / str(last) / "run" / "metadata"
    metadata.write_text(metadata.read_text().replace(f'"best_step": {best}', '"best_step": 5'))
    with pytest.raises(ValueError, match="checkpoints/5 is damaged"):
        prnn.load(tmp_path / "run")


@pytest.mark.parametrize("content", ["{}", "[1]", '{"config": {"model": {"x": 1}}, "image_shape": 0, "record": {}}'])
def test_foreign_json_in_a_checkpoint_is_refused(tiny_run, tmp_path, content):
    shutil.copytree(tiny_run[0], tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints").glob("*/run/metadata"):
        path.write_text(content)
    with pytest.raises(ValueError, match="damaged"):
        prnn.load(tmp_path / "run")


def test_there_must_be_a_run(tmp_path):
    with pytest.raises(ValueError, match="there is nothing of that name"):
        prnn.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no checkpoints/"):
        prnn.load(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ValueError, match="holds no complete checkpoint"):
        prnn.load(tmp_path)
    assert not any((tmp_path / "checkpoints").iterdir())


@pytest.mark.parametrize("victim", ["ema", "ema/**/d/*", "ema/manifest.ocdbt", "ema/_METADATA", "run", "run/metadata", ""])
def test_a_damaged_checkpoint_is_named(tiny_run, tmp_path, victim):
    workdir, _ = tiny_run
    shutil.copytree(workdir, tmp_path / "run")
    for step in (tmp_path / "run" / "checkpoints").iterdir():
        for target in list(step.glob(victim)) if victim else [step]:
            if target.is_file():
                content = np.frombuffer(target.read_bytes(), np.uint8)
                target.write_bytes((content[: len(content) // 2] ^ 0x5A).tobytes())
            else:
                shutil.rmtree(target)
        step.mkdir(exist_ok=True)
    with pytest.raises(ValueError, match=r"checkpoints.* (is damaged|complete checkpoint)") as error:
        prnn.load(tmp_path / "run")
    assert "\n" not in str(error.value)
