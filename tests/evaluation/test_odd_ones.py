import numpy as np

from pixel_rnn_jax.evaluation.odd_ones import p_values, ranks


def test_the_largest_score_ranks_first():
    assert ranks(np.array([1.0, 3.0, 2.0, 3.0])).tolist() == [4, 1, 3, 2]


def test_p_values_count_the_usual_scores_that_are_at_least_as_large():
    usual = np.array([3.0, 1.0, 2.0, 2.0])
    np.testing.assert_allclose(p_values(np.array([0.0, 1.0, 2.0, 2.5, 3.0, 9.0]), usual), np.array([5, 5, 4, 2, 2, 1]) / 5)


def test_a_usual_image_has_a_small_p_value_as_rarely_as_it_says():
    """Each of ten scores in turn is the new one: a tenth of them is the largest, two tenths are among the two largest."""
    scores = np.random.default_rng(0).normal(size=10)
    found = [p_values(scores[[new]], np.delete(scores, new))[0] for new in range(10)]
    np.testing.assert_allclose(np.sort(found), np.arange(1, 11) / 10)
