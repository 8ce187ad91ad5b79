import numpy as np

from chemscale.rows import flat_index, subset


def test_subsets_are_nested_and_repetitions_have_their_own():
    assert subset(50, 7).tolist() == list(range(7))
    for repetition in (1, 2):
        small, large = subset(50, 10, repetition), subset(50, 30, repetition)
        assert large[:10].tolist() == small.tolist()
        assert len(set(large.tolist())) == 30 and large.min() >= 0 and large.max() < 50
        assert sorted(subset(50, 50, repetition)) == list(range(50))
    drawn = [set(subset(1000, 100, repetition).tolist()) for repetition in range(4)]
    shared = [len(a & b) for i, a in enumerate(drawn) for b in drawn[:i]]
    assert max(shared) < 30  # 10 expected of two random subsets


def test_ranges_of_unequal_length_in_any_order():
    starts, lengths = np.array([5, 0, 9]), np.array([2, 3, 1])
    assert flat_index(starts, lengths).tolist() == [5, 6, 0, 1, 2, 9]
