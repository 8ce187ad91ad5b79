"""Describe every column of the runs table; `python -m` this module writes docs/reference/runs-table.md."""

import re
from collections.abc import Iterable

# section → column → (unit or type, meaning); <…> stands for a name that depends on the study
COLUMNS: dict[str, dict[str, tuple[str, str]]] = {
    "The cell": {
        "cell": ("text", "name of the cell, `<arm>/<family>/<size>/<data>/seed<seed>`; also its folder under `runs/`"),
        "arm": ("text", "`language` or `potential`"),
        "family": ("text", "architecture, such as `chemgpt-slim` or `painn`"),
        "size": ("text", "model size as the configuration names it, such as `w16` or `d2-w8`"),
        "data": ("molecules or structures", "requested size of the training subset"),
        "seed": ("integer", "seed of the weights and of the order of the data"),
        "repetition": ("integer", "number of the study's repetition, where it is one: other subsets and other seeds"),
        "study": ("text", "name of the study"),
        "width": ("integer", "width of the model"),
        "depth": ("integer", "interaction blocks of a potential"),
        "recipe": ("integer", "version of the training code, raised when a change of code changes results"),
        "learning_rate": ("1", "peak learning rate, before halvings"),
        "adam_beta1": ("1", "decay of AdamW's mean of gradients"),
        "adam_beta2": ("1", "decay of AdamW's mean of squared gradients"),
        "rate_at_edge": ("bool", "better learning rates may lie beyond the sweep; such a run enters no fit"),
        "fingerprint": ("SHA-256", "hash of the settings and the data that decide the result"),
    },
    "How the run ended": {
        "status": ("text", "`finished`, `failed` or `missing`"),
        "reason": ("text", "why the run failed or is missing"),
        "ended": ("text", "`budget`: all steps were made; `patience`: the validation loss stopped improving"),
        "undertrained": (
            "bool",
            "all steps were made, and the validation error still fell by over 3 % over the last evaluation interval; "
            "not fitted",
        ),
        "collapsed": ("bool", "the last validation error is above 1.5 times the best one; not fitted"),
        "halvings": ("count", "how often the learning rate was halved after a loss that was not finite"),
        "attempts": ("count", "processes that worked on the run; more than one after interruptions"),
        "steps": ("steps", "optimiser steps made"),
        "steps_budget": ("steps", "optimiser steps planned"),
        "best_step": ("steps", "step of the lowest validation loss, whose weights are kept"),
    },
    "Losses (nats per token; potentials: weighted sum of squared errors, without unit)": {
        "train_loss": ("loss", "mean training loss of the steps since the previous row of the history"),
        "validation_loss": ("loss", "validation loss at the **last** evaluation"),
        "validation_loss_best": ("loss", "**lowest** validation loss of the run"),
        "validation_loss_se": ("loss", "standard error of `validation_loss` over molecules"),
        "test_loss": ("loss", "loss of the **best** weights on the test split, which chose nothing"),
        "test_loss_se": ("nats per token", "standard error of `test_loss` over molecules"),
        "test_loss_per_molecule": ("nats per molecule", "mean over molecules of the sum of their token losses"),
        "untrained_loss": ("nats per token", "baseline: loss of a uniform distribution over the vocabulary"),
        "unigram_entropy": ("nats per token", "baseline: loss of a model that knows only the token frequencies"),
    },
    "Errors of potentials (best weights; energies per atom)": {
        "test_energy_mae": ("eV per atom", "mean absolute error of energies, other geometries of training molecules"),
        "test_energy_rmse": ("eV per atom", "root mean square error of energies"),
        "test_force_mae": ("eV/Å", "mean absolute error of force components; the loss of the fits"),
        "test_force_mae_se": ("eV/Å", "standard error of `test_force_mae` over structures"),
        "test_force_rmse": ("eV/Å", "root mean square error of force components"),
        "unseen_loss": ("loss", "`test_loss`, on held-out molecules"),
        "unseen_energy_mae": ("eV per atom", "`test_energy_mae`, on held-out molecules"),
        "unseen_energy_rmse": ("eV per atom", "`test_energy_rmse`, on held-out molecules"),
        "unseen_force_mae": ("eV/Å", "`test_force_mae`, on held-out molecules"),
        "unseen_force_mae_se": ("eV/Å", "standard error of `unseen_force_mae` over structures"),
        "unseen_force_rmse": ("eV/Å", "`test_force_rmse`, on held-out molecules"),
        "zero_force_mae": ("eV/Å", "baseline: `test_force_mae` of a potential that predicts no force"),
    },
    "Size of the model and of its data": {
        "parameters": ("count", "N: parameters without token and position embeddings"),
        "parameters_total": ("count", "all parameters"),
        "parameters_embedding": ("count", "parameters of token or element embeddings"),
        "parameters_position": ("count", "parameters of position embeddings"),
        "parameters_matrices": ("count", "parameters in matrices, other than embeddings and head"),
        "parameters_scalars": ("count", "biases, norms and scales"),
        "parameters_head": ("count", "parameters of the output layer"),
        "vocabulary": ("tokens", "size of the vocabulary"),
        "train_molecules": ("molecules", "D of the language arm: molecules in the training subset"),
        "train_tokens": ("tokens", "predicted tokens in the training subset"),
        "train_structures": ("structures", "D of the potential arm: structures in the training subset"),
        "train_atoms": ("atoms", "atoms in the training subset"),
        "train_force_labels": ("count", "force components in the training subset"),
    },
    "Compute": {
        "unit": ("text", "unit of work: `tokens` or `atoms`"),
        "units_seen": ("tokens or atoms", "work done in training, repeats included"),
        "epochs": ("1", "`units_seen` over the units in the training subset"),
        "flops": ("FLOPs", "C: exact FLOPs of training, forward and backward"),
        "flops_6nd": ("FLOPs", "6 × `parameters` × `units_seen`"),
        "wall_seconds": ("s", "elapsed time over all attempts"),
        "device_seconds": ("s", "`wall_seconds` × `processes`"),
        "training_seconds": ("s", "time in training steps alone"),
        "cpu_seconds": ("s", "CPU time of the last attempt, start-up included"),
        "startup_cpu_seconds": ("s", "CPU time of Python and imports"),
        "units_per_second": ("tokens or atoms per s", "`units_seen` over `training_seconds`"),
        "gemm_share": ("1", "FLOPs per second of training over those of a large matrix product on the same machine"),
        "peak_memory_host_mb": ("MB", "peak resident memory of the process"),
        "peak_memory_device_mb": ("MB", "peak memory allocated on the GPU"),
        "precision": ("text", "`float32` or `bfloat16`"),
        "compiled": ("bool", "the training step was compiled (docs/explanation/potentials.md)"),
        "processes": ("count", "processes that trained together"),
        "device": ("text", "`cpu` or `cuda`"),
        "device_name": ("text", "name of the GPU, or the architecture of the CPU"),
        "host": ("text", "name of the machine"),
    },
    "Generated molecules (studies that generate)": {
        "generated_molecules": ("count", "molecules generated"),
        "generated_ended": ("share", "molecules that the model ended itself, of all"),
        "generated_valid": ("share", "ended and valid molecules, of all"),
        "generated_unique": ("share", "distinct molecules, of the valid ones"),
        "generated_novel": ("share", "molecules not in the training subset, of the distinct valid ones"),
        "generated_diversity": ("1", "1 − mean Tanimoto similarity of generated molecules (IntDiv1 of MOSES)"),
        "training_diversity": ("1", "the same for training molecules"),
        "wasserstein_<property>": (
            "unit of the property",
            "Wasserstein-1 distance between generated and training molecules: `logp`, `qed`, `sa`, `weight` (Da)",
        ),
        "wasserstein_<property>_floor": (
            "unit of the property",
            "the same distance between two samples of the training set of that size",
        ),
        "scaffold_kept": ("share", "valid molecules that contain the scaffold asked for"),
        "scaffold_equal": ("share", "valid molecules whose Murcko scaffold is the one asked for"),
    },
    "Simulations (studies that simulate)": {
        "simulated_ps": ("ps", "length of the dynamics"),
        "simulated_molecules": ("count", "molecules simulated"),
        "nve_whole": ("share", "molecules without a broken bond at constant energy"),
        "nve_drift": ("meV per atom and ps", "mean absolute drift of the total energy"),
        "nve_drift_se": ("meV per atom and ps", "its standard error over molecules"),
        "nve_rms": ("meV per atom", "mean fluctuation of the total energy around its drift"),
        "nve_rms_se": ("meV per atom", "its standard error over molecules"),
        "survived": ("share", "molecules without a broken bond in a heat bath"),
        "stability_ps": ("ps", "mean time to the first broken bond in a heat bath, at most `simulated_ps`"),
        "stability_ps_se": ("ps", "its standard error over molecules"),
        "relaxed": ("share", "molecules whose relaxation converged"),
        "relax_rmsd": ("Å", "mean distance between relaxed and reference minimum, after alignment"),
        "relax_rmsd_se": ("Å", "its standard error over molecules"),
        "relax_energy": ("meV per atom", "mean reference energy of the relaxed geometry above the reference minimum"),
        "relax_energy_se": ("meV per atom", "its standard error over molecules"),
    },
    "Errors on other datasets (studies that evaluate)": {
        "on_<dataset>_structures": ("count", "structures evaluated"),
        "on_<dataset>_zero_force_mae": ("eV/Å", "baseline: error of a potential that predicts no force"),
        "on_<dataset>_energy_<measure>": ("eV per atom", "error of energies: `mae`, `rmse`, standard errors `…_se`"),
        "on_<dataset>_force_<measure>": ("eV/Å", "error of force components: `mae`, `rmse`, and `…_se`"),
    },
}

INTRODUCTION = """# The runs table

`results/<study>/tables/runs.parquet` (and `runs.csv`) has one row per cell of a study, written by `chemscale collect`.
A cell that was not trained has the status `missing`, a failed one keeps its row with the reason. A column that does not
apply to a cell is empty. This page is generated from `workflow/chemscale/analysis/columns.py`.
"""


def undescribed(columns: Iterable[str]) -> list[str]:
    """List the columns that the data dictionary does not describe."""
    names = [re.sub(r"<\w+>", ".+", re.escape(name)) for section in COLUMNS.values() for name in section]
    described = re.compile("|".join(names))
    return [column for column in columns if not described.fullmatch(column)]


def data_dictionary() -> str:
    """Return the data dictionary as a Markdown document."""
    parts = [INTRODUCTION]
    for title, section in COLUMNS.items():
        rows = [f"| `{name}` | {unit} | {meaning} |" for name, (unit, meaning) in section.items()]
        parts.append("\n".join([f"## {title}\n", "| column | unit | meaning |", "|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    print(data_dictionary(), end="")
