"""A law that its user writes as a formula: the same fit as the built-in form, and mistakes told."""

import json

import numpy as np
import pandas as pd
import pytest

from chemscale.cli import main
from chemscale.errors import ChemscaleError
from chemscale.scaling import compare, fit
from chemscale.scaling.fitting.fit import fit_law
from chemscale.scaling.forms.laws import FORMULA, named_form

CURVE = np.logspace(3, 7, 12)
N, D = (grid.ravel() for grid in np.meshgrid(np.logspace(6, 9, 5), np.logspace(8, 11, 5)))
PAIRS = {
    "power": "A*x**-alpha",
    "power_floor": "E + A*x**-alpha",
    "shifted_floor": "L = E + A*(x + x0)^-alpha",
    "joint": "E + A*N**-alpha + B*D**-beta",
    "joint_tied": "E + A/N**alpha + B/D**alpha",
    "product_floor": "E + A*N**-p*D**-q",
    "kaplan": "((A/N)**(alpha/beta) + B/D)**beta",
}


def simulated(name):
    noise = np.exp(0.003 * np.random.default_rng(0).normal(size=25))
    if named_form(name).variables == ("x",):
        return {"x": CURVE}, (0.5 + 30 * (CURVE + 2000) ** -0.4) * noise[:12]
    if name.startswith("product"):
        return {"N": N, "D": D}, (0.5 + 40 * N**-0.1 * D**-0.15) * noise
    return {"N": N, "D": D}, (0.1 + 406.4 * N**-0.34 + 410.7 * D**-0.28) * noise


@pytest.mark.parametrize("name", [*PAIRS])
def test_a_formula_is_fitted_as_the_form_that_it_states(name):
    x, loss = simulated(name)
    built_in, written = (fit_law(form, x, loss, objective="least_squares_log") for form in (name, PAIRS[name]))
    assert written.diagnostics["objective"] == pytest.approx(built_in.diagnostics["objective"], rel=1e-6)
    known = sorted(value for value in built_in.parameters.values() if value)
    assert sorted(value for value in written.parameters.values() if value) == pytest.approx(known, rel=1e-2)


def test_derivatives_of_a_formula_are_exact():
    form = named_form("E + A*(x + min(x0, 3*x))**-alpha*log(1 + x/c)")
    x = {"x": CURVE}
    scaling = form.scaling(x)
    law = form.bind(scaling, x)
    theta = np.array([[0.3, 0.2, -0.5, 6.0, 1.1]])
    slope, step = law.gradient(theta), 1e-6
    _, _, hessian = law.curvature(theta)
    bend = hessian(np.ones((1, 12)), np.zeros((1, 12)))[0]
    for p in range(5):
        ahead, behind = theta.copy(), theta.copy()
        ahead[0, p] += step
        behind[0, p] -= step
        rise = (law.log_loss(ahead) - law.log_loss(behind))[0] / (2 * step)
        assert slope[0, :, p] == pytest.approx(rise, rel=1e-5, abs=1e-7)
        change = (law.gradient(ahead) - law.gradient(behind))[0].sum(axis=0) / (2 * step)
        assert bend[p] == pytest.approx(change, rel=1e-4, abs=1e-5)


def test_kinds_follow_from_where_a_parameter_stands():
    form = named_form("E + A*N**-alpha + c*log(D/d0)")
    assert form.name == FORMULA and form.variables == ("N", "D")
    assert form.kinds == {"A": "positive", "E": "floor", "alpha": "exponent", "c": "positive", "d0": "positive"}
    assert form.floor == "E" and form.variables_of("alpha") == ("N",)
    assert form.terms[0].linear == ("A", "E", "c")


def test_a_law_of_an_own_formula_answers_as_any_other(tmp_path):
    x, loss = simulated("joint")
    table = pd.DataFrame(x | {"loss": loss})
    by_name = fit(table, params="N", data="D", draws=60, delta=0.01)
    law = fit(table, params="N", data="D", form=PAIRS["joint"], draws=60, delta=0.01)
    assert law.interval("beta") == pytest.approx(by_name.interval("beta"), abs=0.004)
    assert law.identification.identified and law.parameters["E"] == pytest.approx(by_name.parameters["E"], rel=1e-4)
    from chemscale.scaling.answers import allocation

    (one,), (other,) = (allocation(found, [1e21])["budgets"] for found in (law, by_name))
    assert one["N"] == pytest.approx(other["N"], rel=1e-3) and one["loss"] == pytest.approx(other["loss"], rel=1e-6)
    table.to_csv(tmp_path / "t.csv", index=False)
    columns = ["--loss", "loss", "--params", "N", "--data", "D", "--form", "1.69*g + A*N**-alpha + B*D**-alpha"]
    assert main(["fit", str(tmp_path / "t.csv"), *columns, "--draws", "20", "--out", str(tmp_path / "f.json")]) == 0
    kept = json.loads((tmp_path / "f.json").read_text())
    assert kept["formula"] == "L = 1.69*g + A*N**-alpha + B*D**-alpha" and set(kept["parameters"]) == {
        "A",
        "B",
        "alpha",
        "g",
    }


def test_formulas_are_compared_with_forms():
    x, loss = simulated("joint")
    found = compare(
        pd.DataFrame(x | {"loss": loss}), params="N", data="D", forms=["joint", "joint_tied", PAIRS["product_floor"]]
    )
    assert set(found.table["form"]) == {"joint", "joint_tied", "E + A*N**-p*D**-q"} and found.chosen == "joint"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("E + A*x**", "no formula (invalid syntax"),
        ("E + A*N**-alpha", "must contain x for a curve, or N and D for a surface; it contains N"),
        ("E + A*x**-alpha + B*N**-b", "it contains x and N"),
        ("1 + x**2", "has no parameter to fit"),
        ("E + sin(A*x)", "'sin(A * x)' is not arithmetic"),
        ("__import__('os').system('true')*x", "is not arithmetic"),
        ("E + A*x**-alpha if x else 0", "is not arithmetic"),
        ("E + x[0]", "'x[0]' is not arithmetic"),
        ("E + A*x**-'a'", "is not arithmetic"),
    ],
)
def test_what_is_no_formula_is_refused_and_never_run(text, message):
    with pytest.raises(ChemscaleError) as caught:
        named_form(text)
    assert message in str(caught.value) and str(caught.value).startswith(f"form = {text!r}: ")
