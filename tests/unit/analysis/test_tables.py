"""The tables of the report from fits with known numbers."""

from helpers.studies import comparison, fits, judgement, law

from chemscale.analysis.tables import comparison_table, exponent_table, judgement_table, next_cells_table


def test_exponents_have_a_row_per_law_and_the_floor_of_either_form():
    joint = law("painn", "both", {}, form="joint", parameters={"alpha": 0.3, "beta": 0.2, "E": 0.05678})
    joint["intervals"] = {"alpha": [0.25, 0.35], "beta": [0.1, 0.3]}
    curve = law("painn", "data", {"size": "d2-w8"})
    table = exponent_table([fits("language"), fits("potential", curves=[curve], joint=[joint])])
    assert table["exponents"].tolist() == [
        "0.250 (0.200 to 0.300)",
        "alpha 0.300 (0.250 to 0.350); beta 0.200 (0.100 to 0.300)",
    ]
    assert table["floor"].tolist() == ["", "0.0568"] and table["at"].tolist() == ["size d2-w8", ""]
    assert table["arm"].tolist() == 2 * ["potential"] and table["preferred"].all()


def test_judgements_have_a_row_per_curve_and_per_frontier():
    frontiers = [{"family": "painn", "form": "power", "sensitivity": {"statement": "Choices move it."}}]
    frontiers.append({"family": "schnet", "reason": "too few runs"})
    laws = fits("potential", judgements=[judgement("painn", "d2-w8")], frontiers=frontiers)
    table = judgement_table([laws])
    first = table.iloc[0]
    assert (first["at"], first["form"], first["AICc would choose"]) == ("size d2-w8", "power", "power_floor")
    assert first["this curve alone"] == "power"
    assert (first["error of the rule (%)"], first["error of AICc (%)"]) == ("2.26", "")
    assert first["regime"] == "too few sizes"
    assert table["analysis choices"].tolist() == ["Choices move it.", "Choices move it.", "too few runs"]
    assert table["along"].tolist() == ["data", "compute", "compute"]


def test_comparisons_give_the_ratio_of_data_or_say_that_it_is_out_of_reach():
    reached = comparison("flops") | {"factors": {"at": [{"loss": 0.3, "factor": 2.5, "interval": [1.5, None]}]}}
    table = comparison_table([fits("potential", comparisons=[comparison("parameters"), reached])])
    assert table["matched"].tolist() == ["non-embedding parameters", "training FLOPs"]
    assert table["data of second / first"].tolist() == ["beyond reach", "2.5 (1.5 to no limit)"]
    assert table["exponent of first"].tolist() == 2 * ["0.25 (0.2 to 0.3)"]
    empty = comparison_table([fits("potential")])
    assert empty.empty and list(empty) == ["arm", "first", "second", "matched", "statement"]


def test_next_cells_list_the_runs_or_the_reason_why_there_are_none():
    cells = [{"repeats": 2, "N": 1e4, "D": 3000.0}, {"repeats": 1, "N": 2e4, "D": 500.0}]
    planned = [{"family": "painn", "goal": "loss", "spent": 1.234e9, "cells": cells, "statement": "lower"}]
    planned.append({"family": "schnet", "reason": "no surface"})
    table = next_cells_table([fits("potential", next=planned)])
    assert table["runs"].tolist() == ["2 × (N = 10,000, D = 3,000), 1 × (N = 20,000, D = 500)", ""]
    assert table["FLOPs"].tolist() == ["1.23e+09", ""] and table["statement"].tolist() == ["lower", "no surface"]
