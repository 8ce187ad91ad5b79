"""The site file, which need not exist, and the variables of sbatch behind it."""

import pytest

from chemscale.errors import ChemscaleError
from chemscale.study import Site, read_site


def write(directory, text: str):
    path = directory / "profiles" / "slurm" / "site.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_without_a_file_nothing_is_asked_but_a_day(tmp_path):
    site = read_site(tmp_path, {})
    assert (site.account, site.cpu.partition, site.gpu.partition, site.cpu.max_mem_mb) == (None,) * 4
    assert site.cpu.max_runtime == site.gpu.max_runtime == 1440


def test_the_file_comes_before_the_variables_of_sbatch(tmp_path):
    write(tmp_path, "account: chem\ngpu: {partition: a100, max_runtime: 600, max_mem_mb: 200000}\n")
    site = read_site(tmp_path, {"SBATCH_ACCOUNT": "other", "SBATCH_PARTITION": "standard"})
    assert (site.account, site.cpu.partition, site.gpu.partition) == ("chem", "standard", "a100")
    assert (site.nodes(0).max_runtime, site.nodes(2).max_runtime, site.nodes(2).max_mem_mb) == (1440, 600, 200_000)


def test_another_file_may_be_named(tmp_path):
    (tmp_path / "mine.yaml").write_text("account: mine\n")
    assert read_site(tmp_path, {"CHEMSCALE_SITE": "mine.yaml"}).account == "mine"
    with pytest.raises(ChemscaleError, match=r"CHEMSCALE_SITE = absent.yaml: no such file; correct the path"):
        read_site(tmp_path, {"CHEMSCALE_SITE": "absent.yaml"})


def test_all_mistakes_are_named_at_once(tmp_path):
    write(tmp_path, "acount: chem\ngpu: {max_runtime: 1d}\ncalibration: {painn: {tpu: 2}}\n")
    with pytest.raises(ChemscaleError) as error:
        read_site(tmp_path, {})
    message = str(error.value)
    assert "site.yaml: 3 problems" in message and "acount: unknown key; did you mean account?" in message
    assert "gpu.max_runtime = '1d': expected a whole number (longest time limit" in message
    assert "calibration.painn" in message and "expected one of cpu, gpu" in message


def test_a_file_that_is_no_yaml_is_named(tmp_path):
    write(tmp_path, "account: [\n")
    with pytest.raises(ChemscaleError, match=r"site\.yaml: not a YAML file"):
        read_site(tmp_path, {})


def test_the_example_is_valid_and_shows_every_key(checkout):
    path = checkout / "profiles" / "slurm" / "site.example.yaml"
    site = read_site(checkout, {"CHEMSCALE_SITE": str(path)})
    assert site.model_fields_set == set(Site.model_fields)
    assert all(nodes.model_fields_set == set(type(nodes).model_fields) for nodes in (site.cpu, site.gpu))
