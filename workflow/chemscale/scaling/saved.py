"""Keep a fitted law in a JSON file with its rows and draws, and read it back without fitting anything again."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chemscale.errors import ChemscaleError
from chemscale.files import read_json
from chemscale.scaling.fitting.fit import Fit
from chemscale.scaling.fitting.objectives import Objective
from chemscale.scaling.forms.constraints import constrain
from chemscale.scaling.forms.laws import FORMULA, named_form
from chemscale.scaling.forms.terms import Scaling
from chemscale.scaling.inference.bootstrap import Bootstrap
from chemscale.scaling.inference.identifiability import Identification

if TYPE_CHECKING:
    from chemscale.scaling.law import ScalingLaw


def saved_content(law: "ScalingLaw") -> dict:
    """Return what `load_law` needs beside `ScalingLaw.to_dict`, as content for JSON."""
    fit = law.fit
    return {
        "rows": {name: values.tolist() for name, values in fit.x.items()}
        | {"loss": fit.loss.tolist(), "weight": fit.weights.tolist()},
        "scaling": {"centre": fit.scaling.centre, "unit": fit.scaling.unit},
        "theta": fit.theta.tolist(),
        "draws": [_of_draws(boot) for boot in (law.boot, law.narrower) if boot],
    }


def _of_draws(boot: Bootstrap) -> dict:
    return {
        "method": boot.method,
        "seed": boot.seed,
        "redrawn": boot.redrawn,
        "theta": boot.theta.tolist(),
        "noise": boot.noise.tolist(),
    }


def load_law(path: Path) -> "ScalingLaw":
    """Return the law of a JSON file that `ScalingLaw.save` or `chemscale fit` wrote.

    Raises ChemscaleError for a file that holds no law with its draws.
    """
    from chemscale.scaling.law import ScalingLaw

    if not path.is_file():
        raise ChemscaleError(f"{path}: no such file; write one with `chemscale fit TABLE … --out {path}`")
    content = read_json(path)
    try:
        fit, draws = _fit(content), content["draws"]
        boots = [
            Bootstrap(fit, of["method"], np.array(of["theta"]), np.array(of["noise"]), of["seed"], of["redrawn"])
            for of in draws
        ]
        limits = {name: (low, high) for name, (low, high) in content["limits"].items()}
        identification = Identification(tuple(content["unidentified"]), content["statement"], limits)
        narrower = boots[1] if len(boots) > 1 else None
        return ScalingLaw(fit, boots[0], narrower, identification, content["confidence"], content["columns"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ChemscaleError(
            f"{path}: holds no law with its draws ({type(error).__name__}: {error}); write it again with `chemscale "
            "fit TABLE … --out FILE` or `ScalingLaw.save`"
        ) from None


def _fit(content: dict[str, Any]) -> Fit:
    name = content["formula"] if content["form"] == FORMULA else content["form"]
    bounds = {name: (low, high) for name, (low, high) in content.get("bounds", {}).items()}
    form = constrain(named_form(name), content.get("fixed"), content.get("tied"), bounds)
    diagnostics, delta = content["diagnostics"], content["diagnostics"]["delta"]
    rows = {name: np.array(values) for name, values in content["rows"].items()}
    return Fit(
        form,
        content["parameters"],
        Objective(diagnostics["objective_kind"], np.inf if delta is None else delta),
        diagnostics,
        {name: rows[name] for name in form.variables},
        rows["loss"],
        rows["weight"],
        Scaling(**content["scaling"]),
        np.array(content["theta"]),
    )
