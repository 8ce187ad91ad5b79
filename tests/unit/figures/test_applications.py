"""Generated molecules and simulations against data."""

from helpers.drawn import legend, lines, shown
from helpers.studies import runs

from chemscale.figures.applications import GENERATION, SIMULATIONS, generation, simulations


def test_generation_shows_every_quantity_of_every_size_and_that_of_the_training_set():
    table = runs("language").query("seed == 0").assign(generated_molecules=100)
    for panel in GENERATION:
        table[panel.column] = 0.5
        if panel.training_set:
            table[panel.training_set] = 0.1
    figure = generation(table)
    panels = shown(figure)
    assert [axes.get_title() for axes in panels] == [panel.title for panel in GENERATION]
    for axes, panel in zip(panels, GENERATION, strict=True):
        assert [heights for _, heights in lines(axes, "-")] == 2 * [[0.5, 0.5, 0.5]]
        assert [heights for _, heights in lines(axes, "--")] == ([[0.1, 0.1, 0.1]] if panel.training_set else [])
        assert (axes.get_ylim()[0] == 0) == panel.column.startswith("wasserstein")
    assert legend(figure) == ["the training set itself", "ChemGPT-slim w8, N = 700", "ChemGPT-slim w16, N = 3,000"]
    assert panels[-1].get_xlabel() == "training molecules"


def test_simulations_show_every_finished_cell_with_or_without_relaxations():
    table = runs("potential").query("seed == 0").assign(simulated_molecules=2, simulated_ps=0.5)
    table = table.assign(**{panel.column: 0.3 for panel in SIMULATIONS}, relax_rmsd_se=0.1)
    figure = simulations(table)
    panels = shown(figure)
    assert [len(axes.containers) for axes in panels] == [3] * 6
    assert panels[0].containers[0].lines[0].get_xdata().tolist() == [20, 60, 180]
    assert [axes.containers[0].has_yerr for axes in panels] == [False, False, False, True, False, False]
    assert [heights for _, heights in lines(panels[2], ":")] == [[0.5, 0.5]], "how long simulations last"
    assert len(legend(figure)) == 3
    without = table.drop(columns=["relax_rmsd", "relax_energy", "relaxed", "relax_rmsd_se"])
    assert [len(axes.containers) for axes in simulations(without).axes] == [3, 3, 3, 0, 0, 0]
