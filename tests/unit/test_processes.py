"""Worker processes give the results of a plain loop, in order."""

import pytest

from chemscale.processes import spawn_map


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_tasks(workers):
    assert list(spawn_map(pow, ((2, n) for n in range(12)), workers)) == [2**n for n in range(12)]


def test_tasks_are_taken_only_a_few_ahead_of_the_results():
    taken = []

    def tasks():
        for number in range(20):
            taken.append(number)
            yield (number,)

    results = spawn_map(abs, tasks(), workers=2)
    assert next(results) == 0 and len(taken) == 2 * 2 + 1
    results.close()


def test_an_error_of_a_worker_reaches_the_caller():
    with pytest.raises(ValueError, match="invalid literal"):
        list(spawn_map(int, [("1",), ("x",)], workers=2))
