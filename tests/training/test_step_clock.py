import pytest

from pixel_rnn_jax.training import step_clock
from pixel_rnn_jax.training.step_clock import StepClock


def test_a_lap_counts_steps_and_leaves_out_what_is_no_step(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(step_clock.time, "perf_counter", lambda: now[0])
    clock = StepClock(images_per_step=16, compile_seconds=7.0)
    for _ in range(4):
        with clock.waiting():
            now[0] += 0.5
        now[0] += 1.5
        clock.count()
    with clock.stopped():  # a validation
        now[0] += 1000
    assert clock.lap() == pytest.approx(
        {"images_per_second": 8.0, "step_seconds": 2.0, "data_wait": 0.25, "compile_seconds": 7.0}
    )
    now[0] += 3.0
    clock.count()
    assert clock.lap() == pytest.approx({"images_per_second": 16 / 3, "step_seconds": 3.0, "data_wait": 0.0})
