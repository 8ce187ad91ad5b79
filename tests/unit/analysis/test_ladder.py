"""The ladder of symmetry as a table: order, exponents, and data saved against the lowest family."""

import pytest
from helpers.studies import comparison, fits, law

from chemscale.analysis.ladder import ladder, ladder_table


def surface(family, alpha, beta, unidentified=()):
    joint = law(family, "both", {}, form="joint", preferred=True)
    joint["parameters"] = {"alpha": alpha, "beta": beta}
    joint["intervals"] = {"alpha": [alpha - 0.1, alpha + 0.1], "beta": [beta - 0.1, None]}
    return joint | {"unidentified": list(unidentified)}


def compared(first, second, factor, interval, matched="parameters"):
    at = [{"loss": 0.5, "x": 1, "factor": 1.5, "interval": [1, 2]}]
    at += [{"loss": 0.2, "x": 9, "factor": factor, "interval": interval}]
    return comparison(matched) | {"names": [first, second], "factors": {"at": at}}


@pytest.fixture
def potential():
    joint = [surface("painn", 0.4, 0.7), surface("schnet", 0.3, 0.5, ["alpha"]), surface("mpnn", 0.2, 0.3)]
    comparisons = [
        compared("mpnn", "painn", 0.1, [0.05, 0.2]),  # PaiNN needs a tenth of the data
        compared("painn", "schnet", 8.0, [4, 16]),
        compared("schnet", "mpnn", 3.0, [2, None], matched="flops"),
    ]
    frontiers = [{"family": "painn", "parameters": {"exponent": 0.25}, "intervals": {"exponent": [0.2, 0.3]}}]
    return fits("potential", joint=joint, comparisons=comparisons, frontiers=frontiers)


def test_families_stand_by_symmetry_with_exponents_and_data_saved(potential):
    lowest, schnet, painn = ladder(potential)
    assert [entry["family"] for entry in (lowest, schnet, painn)] == ["mpnn", "schnet", "painn"]
    assert painn["exponents"]["data"] == {"value": 0.7, "interval": [pytest.approx(0.6), None], "identified": True}
    assert not schnet["exponents"]["parameters"]["identified"] and schnet["exponents"]["compute"] is None
    assert lowest["saved"] == {"parameters": None, "flops": None}
    saved = painn["saved"]["parameters"]
    assert saved["factor"] == pytest.approx(10) and saved["interval"] == pytest.approx([5, 20]) and saved["loss"] == 0.2
    assert painn["saved"]["flops"] is None
    assert schnet["saved"]["flops"] == {"factor": 3.0, "interval": [2, None], "loss": 0.2}


def test_the_table_reads_as_the_ladder(potential):
    table = ladder_table([fits("language"), potential])
    assert list(table["family"]) == ["MPNN", "SchNet", "PaiNN"]
    assert table["built in"][0] == "no symmetry built in"
    assert table["exponent of data, β"][2] == "0.70 (0.6 to no limit)"
    assert table["exponent of parameters, α"][1] == "0.30 (0.2 to 0.4), not identified"
    assert table["exponent of compute, γ"].tolist() == ["no fit", "no fit", "0.25 (0.2 to 0.3)"]
    assert table["data saved at matched non-embedding parameters"][2] == "10 times (5 to 20) at 0.2"
    assert len(ladder_table([fits("language"), fits("potential")])) == 0
