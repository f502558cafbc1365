import numpy as np

from pixel_rnn_jax.models.masked_conv import channel_groups, kernel_mask


def test_groups_are_contiguous_and_even():
    np.testing.assert_array_equal(channel_groups(7, 3), [0, 0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(channel_groups(6, 3), [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(channel_groups(3, 3), [0, 1, 2])


def test_each_gate_is_split_on_its_own():
    np.testing.assert_array_equal(channel_groups(4, 3, gates=2), [0, 0, 1, 2, 0, 0, 1, 2])


def test_every_colour_has_features():
    for features in range(3, 40):
        assert set(channel_groups(features, 3)) == {0, 1, 2}


def test_mask_a_excludes_the_own_colour_and_mask_b_does_not():
    groups = np.arange(3)
    np.testing.assert_array_equal(kernel_mask((1, 1), groups, groups, "A")[0, 0], np.triu(np.ones((3, 3)), 1))
    np.testing.assert_array_equal(kernel_mask((1, 1), groups, groups, "B")[0, 0], np.triu(np.ones((3, 3))))


def test_spatial_part_of_a_kernel():
    mask = kernel_mask((3, 5), np.zeros(1, int), np.zeros(1, int), "A")[..., 0, 0]
    np.testing.assert_array_equal(mask, [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
