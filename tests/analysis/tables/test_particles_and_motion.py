"""Table 2 and what is drawn of its runs: which number stands where, which readout, what is absent, which caveat."""

import importlib
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.text import Text

from analysis import catalogue, metrics, render
from analysis.captions import ending
from analysis.draw import style
from analysis.measure.registry import table_in
from analysis.quantities.attribution import losses
from analysis.quantities.errors import error
from analysis.quantities.relaxation import everything_pruned, places
from analysis.reference.printed import tables
from analysis.results import ResultsError, load_run, load_runs
from analysis.tables import b_table2, b_table4
from analysis.tasks import METHODS, NBODY, RUN, TASKS
from models.training.series import Series
from tests.analysis.dynamics_runs import EGNO_PLACES, MOTION_CAVEAT, SEGNN_PLACES, UNTRAINED_ERRORS

FIGURES = ["b_alpha", "x3", "x4"]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory, dynamics_folders):
    out = tmp_path_factory.mktemp("figures")
    for output in [*FIGURES, "b_table2"]:
        render.render(output, "mini", out, dynamics_folders, ["python", "-m", "analysis.render", output])
    return out


@pytest.fixture(scope="module")
def results(dynamics_folders):
    return load_runs(dynamics_folders, "mini")


@pytest.fixture(scope="module")
def table(results):
    return b_table2.build(results, None)


def drawing(output, folders):
    """A figure of these runs alone, not written to files."""
    row = catalogue.by_name(output)
    with style.applied():
        return importlib.import_module(row.module).draw(load_runs(folders, "mini").where(row.wants), None)


def keep_rows(folder, condition):
    """Take all other rows out of a run's metrics.parquet."""
    path = folder / "metrics.parquet"
    pd.read_parquet(path).query(condition).to_parquet(path, index=False)


@pytest.mark.parametrize(("system", "expected"), [("segnn", SEGNN_PLACES), ("egno", EGNO_PLACES)])
def test_places_come_in_the_order_of_the_network(system, expected, results):
    pytest.importorskip("torch")
    if system == "segnn":
        from models.segnn.network import SEGNN, SEGNNConfig

        network, run = SEGNN(SEGNNConfig()), results.first("segnn-recm")
    else:
        from models.egno.network import EGNO, EGNOConfig

        network, run = EGNO(EGNOConfig(layers=3, hidden=8)), results.first("egno-run-recm")
    assert [place.name for place in network.places()] == list(expected)
    assert places(run) == list(expected)


def test_every_method_of_every_task_has_a_run_and_a_row_of_the_paper():
    assert [list(task.readings) for task in TASKS] == [list(METHODS)] * 3
    for row in b_table2.BLOCKS["SEGNN on N-body, EGNO on motion capture"]:
        assert set(row.ours) == set(row.paper) == {"nbody", "run", "walk"}
        assert row.paper["nbody"] in tables("b")["table_2_nbody"].rows
        assert row.paper["run"] in tables("b")["table_2_mocap"].rows
    printed = {name for table in ("table_2_nbody", "table_2_mocap") for name in tables("b")[table].rows}
    used = {name for rows in b_table2.BLOCKS.values() for row in rows for name in row.paper.values()}
    assert used == printed


def test_table_two_is_the_selected_error_in_the_papers_unit_and_the_last_step_apart(table, results):
    for choice, metric in (("best validation step", "mse_selected"), ("last step", "mse")):
        for task, factor in ((NBODY, 1e3), (RUN, 1e2)):
            at = task.readings["recm"]
            values = [factor * error(run, at.series, metric) for run in results.of(at.run)]
            row = table.frame.query(f"choice == '{choice}' and run == '{at.run}' and readout == 'raw'").iloc[
                0
            ]
            assert row["ours"] == pytest.approx(np.mean(values))
            assert row["ours_std"] == pytest.approx(
                np.std(values)
            )  # ddof 0, as the specs of both tasks have it
            assert row["seeds"] == 3
            assert row["difference"] == pytest.approx(row["ours"] - row["paper"])
    selected = table.frame.query("run == 'segnn-recm' and readout == 'raw'").set_index("choice")
    assert selected.loc["best validation step", "ours"] < selected.loc["last step", "ours"]
    assert selected.loc["best validation step", "last_step"] < selected.loc["last step", "last_step"] == 1500


def test_predictions_without_training_stand_above_every_network_in_the_same_unit(table):
    assert [line.split("|")[1].strip() for line in table.markdown.splitlines()[3:6]] == [
        "x",
        "x + t v, t known",
        "x + t v, t fitted",
    ]
    rows = table.frame.query("block == 'Without training' and choice == 'last step'")
    for task, power in (("nbody", 3), ("run", 2), ("walk", 2)):
        found = rows[rows["task"] == task]["ours"]
        expected = [10**power * error for error in UNTRAINED_ERRORS.values()]
        assert found.tolist() == pytest.approx(expected)


def test_one_run_of_ace_on_particles_is_read_twice_and_two_runs_on_motion(table):
    rows = table.frame.query("choice == 'best validation step' and meant").set_index(["row", "task"])
    exact, appr = rows.loc["ACE-exact"], rows.loc["ACE-appr"]
    assert (exact.loc["nbody", "run"], exact.loc["nbody", "readout"]) == ("segnn-ace", "raw")
    assert (appr.loc["nbody", "run"], appr.loc["nbody", "readout"]) == ("segnn-ace", "kept")
    assert (appr.loc["walk", "run"], appr.loc["walk", "readout"]) == ("egno-walk-ace-appr", "raw")
    assert exact.loc["nbody", "paper"] == appr.loc["nbody", "paper"] == 3.8
    assert table.frame.query("run == 'segnn-ace' and not meant").empty


def test_numbers_that_are_only_quoted_say_so_and_others_stand_beside_the_papers(table):
    lines = table.markdown.splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert "| TFN | paper, quoted |  | – | 56.6 ± 1.7 | 32.0 ± 1.8 |" in lines
    assert "| SE(3)-Tr. | paper, quoted |  | 24.4 | 61.2 ± 2.3 | 31.5 ± 2.1 |" in lines
    assert "|  | paper |  | 5.6 ± 0.25 | 33.9 ± 1.7 | 8.1 ± 1.6 |" in lines
    linear = next(i for i, line in enumerate(lines) if line.startswith("| Linear | ours | 1 |"))
    assert lines[linear + 1].startswith("| RF | ours |")  # the paper has no Linear
    assert any(line.startswith("|  | ours, projected | – / 3 / 2 |") for line in lines)  # of ACE-appr
    assert any(line.startswith("| RECM | ours | 3 / 3 / 2 |") for line in lines)
    assert lines[2].startswith("| **Without training** |")


def test_another_readout_has_a_line_where_it_is_printed_differently(table, tmp_path, write_dynamics_run):
    assert table.markdown.count("| ours, kept |") == 3  # ES, ACE-exact on motion capture, RECM
    assert table.markdown.count("| ours, projected |") == 2
    folder = write_dynamics_run(tmp_path, "segnn-recm", 0)
    frame = pd.read_parquet(folder / "metrics.parquet")
    test = frame["split"] == "test"
    own = frame[test & (frame["readout"] == "own")]
    pd.concat([frame[~test], own, own.assign(readout="kept")]).to_parquet(folder / "metrics.parquet")
    same = b_table2.build(load_runs([folder], "mini"), None)
    assert "ours, kept" not in same.markdown
    assert "=" not in same.markdown
    assert set(same.frame["readout"]) >= {"raw", "kept"}
    assert "±" not in next(line for line in same.markdown.splitlines() if "| ours |" in line)


def test_the_same_number_and_no_number_are_told_apart(tmp_path, write_dynamics_run):
    folders = [write_dynamics_run(tmp_path, name, 0) for name in ("segnn-es", "egno-run-es")]
    frame = pd.read_parquet(folders[0] / "metrics.parquet")
    kept = (frame["split"] == "test") & (frame["readout"] == "kept")
    own = frame[(frame["split"] == "test") & (frame["readout"] == "own")]
    pd.concat([frame[~kept], own.assign(readout="kept")]).to_parquet(folders[0] / "metrics.parquet")
    table = b_table2.build(load_runs(folders, "mini"), None)
    (line,) = [line for line in table.markdown.splitlines() if "ours, kept" in line]
    cells = [cell.strip() for cell in line.split("|")[4:7]]
    assert cells[0] == "="  # as in ES's own line
    assert float(cells[1]) > 0
    assert cells[2] == "–"  # walk was not trained
    for row in ("x", "x + t v, t fitted"):  # predictions without training have no seeds
        assert f"| {row} | ours |  |" in table.markdown
    assert "–: not trained" in table.caption.text


def test_a_table_without_errors_is_one_sentence(tmp_path, write_dynamics_run):
    folder = write_dynamics_run(tmp_path, "segnn-plain", 0)
    frame = pd.read_parquet(folder / "metrics.parquet")
    frame[frame["split"] != "test"].to_parquet(folder / "metrics.parquet")
    with pytest.raises(ResultsError, match=r"b_table2: no run of tier mini given here has a test error"):
        b_table2.build(load_runs([folder], "mini"), None)


def test_every_caption_of_numbers_from_walk_carries_the_caveat(tmp_path, write_dynamics_run):
    folders = [
        write_dynamics_run(tmp_path, f"egno-{motion}-{method}", 0, real=True)
        for motion in ("run", "walk")
        for method in ("plain", "recm")
    ]
    real = load_runs(folders, "mini")
    for output in ("b_table2", "b_table4", *FIGURES):
        row = catalogue.by_name(output)
        of_output = real.where(row.wants)
        caption = ending(row, of_output, of_output)
        assert f"Caveat: {MOTION_CAVEAT}." in caption
        assert "Data: CMU motion capture (walk, 200 training, 60 validation and 60 test samples)." in caption
        assert "generated" not in caption
    only_run = real.only(["egno-run-plain"])
    assert "Caveat" not in ending(catalogue.by_name("b_table2"), only_run, only_run)
    for output in FIGURES:
        printed = " ".join(text.get_text() for text in drawing(output, folders).figure.findobj(Text))
        assert "(walk: with a caveat)" in " ".join(printed.split())


def test_walk_is_marked_in_tables_and_among_the_headline_numbers(tmp_path, write_dynamics_run):
    folders = [
        write_dynamics_run(tmp_path, f"egno-{motion}-{method}", 0, real=True)
        for motion in ("run", "walk")
        for method in ("plain", "recm")
    ]
    note = f"† {MOTION_CAVEAT}."
    for output, mark in (("b_table2", "walk [10⁻²] †"), ("b_table4", "EGNO, walk †")):
        render.render(output, "mini", tmp_path, folders, ["x"])
        text, page = ((tmp_path / f"{output}.{kind}").read_text() for kind in ("md", "html"))
        assert text.endswith(f"|\n\n{note}\n")
        assert f"| {mark} |" in text
        assert text.count("†") == 2
        assert f"<th>{mark}</th>" in page
        assert f"<p>{note}</p>" in page
    said = {
        run: numbers.get("caveat") for run, numbers in metrics.headlines(load_runs(folders, "mini")).items()
    }
    assert said == {
        **dict.fromkeys(("egno-run-plain", "egno-run-recm")),
        **dict.fromkeys(("egno-walk-plain", "egno-walk-recm"), MOTION_CAVEAT),
    }


def test_tables_of_whole_data_have_no_notes(table, results):
    for text in (table.markdown, b_table4.build(results, None).markdown):
        assert "†" not in text
        assert all(line.startswith("|") for line in text.splitlines())


@pytest.mark.parametrize("output", [*FIGURES, "b_table2"])
def test_captions_name_tier_seeds_and_generated_data(rendered, output):
    caption = (rendered / f"{output}.rst").read_text()
    for words in (
        "Tier mini; seeds 0, 1, 2",
        "Drawn from generated data: generated walkers and runners (run, 200 training, 60 validation and 60 test",
    ):
        assert words in caption
    assert "Caveat" not in caption
    if output != "x4":
        assert (
            "charged particles, simulated (300 training, 200 validation and 200 test trajectories)" in caption
        )


def test_table_four_has_the_papers_rows_of_particles_and_motion(results):
    frame = b_table4.overhead_frame(results).set_index(["run", "measure"])
    for run, parameters, time in (("segnn", 0.0, 0.31), ("egno-run", 0.61, 0.45), ("egno-walk", 0.39, 0.45)):
        assert frame.loc[(f"{run}-recm", "inference_parameters"), "paper"] == parameters
        assert frame.loc[(f"{run}-recm", "training_time"), "paper"] == time
        assert frame.loc[(f"{run}-recm", "training_time"), "ours"] == pytest.approx(0.3)
    assert frame.loc[("segnn-recm", "inference_parameters"), "ours"] == 0
    assert frame.loc[("egno-run-recm", "inference_parameters"), "ours"] == pytest.approx(400 / 5000)


def test_alphas_are_drawn_of_every_place_and_end_with_every_seed(rendered):
    points = pd.read_csv(rendered / "b_alpha.csv")
    of_w = points[points["quantity"] == "alpha_W"]
    assert {run: part["label"].nunique() for run, part in of_w.groupby("run")} == {
        "segnn-recm": 8, "egno-run-recm": 14, "egno-walk-recm": 14,
    }  # fmt: skip
    ends = of_w[of_w["panel"].isin(sorted(of_w["panel"].unique())[-2:])]
    assert {run: set(part["seed"]) for run, part in ends.groupby("run")} == {
        "segnn-recm": {0, 1, 2}, "egno-run-recm": {0, 1, 2}, "egno-walk-recm": {0, 1},
    }  # fmt: skip
    assert set(points.loc[points["quantity"] == "alpha_b", "run"]) == set(of_w["run"])


def test_x3_draws_every_method_as_it_is_read_out_and_ends_with_every_seed(rendered):
    points = pd.read_csv(rendered / "x3.csv")
    for panel, stem in zip("abc", ("segnn", "egno-run", "egno-walk"), strict=True):
        of_panel = points[points["panel"] == panel]
        assert {"percent", "L_mean", "L_equiv", "L_total", "largest_alpha"} == set(of_panel["quantity"])
        assert of_panel["run"].str.startswith(stem).all()
        assert of_panel["run"].nunique() == (4 if stem == "segnn" else 5)
    ends = points[points["panel"] == "d"]
    assert len(ends) == 5 * (3 + 3 + 2)
    assert set(ends.loc[ends["run"] == "segnn-ace", "series"]) == {"raw", "kept"}


def test_x4_is_the_loss_with_and_without_a_places_terms_under_both_groups(rendered, results):
    points = pd.read_csv(rendered / "x4.csv")
    run = results.first("egno-run-recm")
    for panel, group, quantity in (
        ("c", "", "L_equiv"),
        ("d", "vertical", "L_equiv"),
        ("e", "vertical", "L_total"),
    ):
        part = points.query(f"panel == '{panel}' and seed == 0 and label == 'layers.0.drift'")
        for series in (Series(group=group), Series(group=group, without="layers.0.drift")):
            value = part.loc[part["series"] == str(series), "value"].unique()
            own = run.curve(quantity, Series(group=group)).value[-1]
            assert value == pytest.approx(losses(run).get((series, quantity), own), rel=1e-4)
    shares = points[points["panel"].isin(["a", "b"])].groupby(["run", "label"])["value"].mean()
    for motion in ("run", "walk"):
        relaxed = shares[f"egno-{motion}-recm"]
        assert relaxed["rotations about the vertical"] == pytest.approx(
            0.2 * relaxed["all rotations"], rel=1e-4
        )


def test_where_no_place_was_taken_out_the_figure_says_why(tmp_path, write_dynamics_run):
    folder = write_dynamics_run(tmp_path, "egno-run-recm", 0)
    table_in(folder, "attribution").unlink()
    assert said(drawing("x4", [folder])) == ["not measured"] * 3

    path = folder / "metrics.parquet"
    frame = pd.read_parquet(path)
    frame.loc[(frame["metric"] == "active") & (frame["step"] == 1500), "value"] = 5000
    frame.to_parquet(path, index=False)
    assert everything_pruned(load_run(folder))
    assert said(drawing("x4", [folder])) == ["every term was pruned:\nnothing is left to take out"] * 3


def said(drawn):
    """What stands written inside the panels of a figure."""
    return [text.get_text() for axes in drawn.figure.axes for text in axes.texts]


@pytest.mark.parametrize(
    ("output", "name"), [("b_alpha", "segnn-recm"), ("x3", "egno-walk-plain"), ("x4", "egno-walk-plain")]
)
def test_figures_of_one_run_alone_are_drawn_and_name_what_is_absent(
    tmp_path, write_dynamics_run, output, name
):
    folder = write_dynamics_run(tmp_path, name, 0)
    render.render(output, "mini", tmp_path / "out", [folder], ["test"])
    assert set(pd.read_csv(tmp_path / f"out/{output}.csv")["run"]) == {name}
    assert "Not part of this tier: " in (tmp_path / f"out/{output}.rst").read_text()


@pytest.mark.parametrize(("output", "split"), [("b_alpha", "relaxation"), ("x3", "val")])
def test_a_run_without_what_is_drawn_is_said_in_the_panel(tmp_path, write_dynamics_run, output, split):
    folder = write_dynamics_run(tmp_path, "segnn-recm", 0)
    frame = pd.read_parquet(folder / "metrics.parquet")
    frame[frame["split"] != split].to_parquet(folder / "metrics.parquet")
    words = {"b_alpha": "no place has this term", "x3": "not measured"}[output]
    assert words in said(drawing(output, [folder]))


@pytest.mark.parametrize("output", [*FIGURES])
def test_a_figure_without_any_of_its_runs_is_one_sentence(tmp_path, write_dynamics_run, output):
    folder = write_dynamics_run(tmp_path, "nbody-rf", 0)
    with pytest.raises(ResultsError, match=rf"{output}: none of .* given for tier mini"):
        render.render(output, "mini", tmp_path / "out", [folder], ["test"])


def test_headline_numbers_are_in_the_tables_units_by_run_and_readout(rendered, results):
    found = metrics.headlines(results)
    frame = pd.read_csv(rendered / "b_table2.csv").query("choice == 'best validation step' and seeds > 0")
    ours = frame.set_index(["run", "readout"])["ours"]
    assert found["segnn-ace"]["test_mse_in_1e-3"] == pytest.approx(ours["segnn-ace", "raw"], rel=1e-3)
    assert found["segnn-ace"]["test_mse_in_1e-3_kept"] == pytest.approx(ours["segnn-ace", "kept"], rel=1e-3)
    assert set(found["egno-walk-recm"]) == {
        "test_mse_in_1e-2",
        "test_mse_in_1e-2_kept",
        "test_mse_in_1e-2_projected",
        "largest_alpha_W",
        "largest_alpha_b",
        "end_percent",
    }
    assert set(found["walk-egnn"]) == {"test_mse_in_1e-2"}


def test_a_new_network_is_shown_and_counted_without_an_edit(tmp_path, write_dynamics_run):
    folders = [write_dynamics_run(tmp_path, name, 0) for name in ("nbody-egnn", "segnn-plain")]
    new = tmp_path / "mini" / "nbody-painn" / "seed0"
    shutil.copytree(folders[1], new)
    config = yaml.safe_load((new / "run.yaml").read_text())
    config["run"] |= {"name": "nbody-painn", "system": "painn", "dataset": "nbody", "label": "PaiNN"}
    (new / "run.yaml").write_text(yaml.safe_dump(config))
    for output in ("b_table2", "x3"):
        render.render(output, "mini", tmp_path / "out", [*folders, new], ["test"])
        assert "nbody-painn" in set(pd.read_csv(tmp_path / f"out/{output}.csv")["run"])
    networks = (tmp_path / "out/b_table2.md").read_text().split("**Other networks**")[1].split("**")[0]
    assert "| PaiNN | ours | 1 |" in networks
    drawn = drawing("x3", [*folders, new])
    assert "PaiNN" in {text.get_text() for text in drawn.figure.findobj(Text)}
    found = metrics.headlines(load_runs([*folders, new], "mini"))["nbody-painn"]
    assert {"test_mse_in_1e-3", "end_percent"} <= set(found)
