"""Paper B's tables and figures say what the runs measured: definitions, readouts, spread, and what is absent."""

import json

import numpy as np
import pandas as pd
import pytest

from analysis import catalogue, render
from analysis.captions import ending
from analysis.measure.registry import table_in
from analysis.quantities.attribution import losses
from analysis.quantities.relaxation import PLACES
from analysis.reference.printed import tables
from analysis.results import ResultsError, load_runs
from analysis.run_names import VN_METHODS, vn_run, vn_runs
from analysis.tables import b_table1, b_table4
from models.training.series import Series


@pytest.fixture(scope="module")
def rendered(tmp_path_factory, vn_folders):
    out = tmp_path_factory.mktemp("figures")
    of_shapes = set(vn_runs(*VN_METHODS))
    for output in (output.name for output in catalogue.OUTPUTS if of_shapes & {*output.runs}):
        render.render(output, "mini", out, vn_folders, ["python", "-m", "analysis.render", output])
    return out


@pytest.fixture(scope="module")
def results(vn_folders):
    return load_runs(vn_folders, "mini")


def run_of(results, data, method):
    return results.first(vn_run(data, method))


def change_metrics(folder, change):
    """Rewrite a run's metrics.parquet."""
    path = folder / "metrics.parquet"
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def test_table_one_has_both_blocks_and_the_papers_cells(rendered):
    frame = pd.read_csv(rendered / "b_table1.csv")
    assert set(frame["block"]) == {"last step", "best test step"}
    assert set(frame["measure"]) == {"instance", "class", "instance_upstream", "class_upstream"}
    own = frame[(frame["readout"] == "raw") & (frame["measure"] == "class") & (frame["block"] == "last step")]
    assert len(own) == 8
    printed = tables("b")["table_1"]
    for row in own.itertuples():
        assert row.paper == printed.cell(b_table1.PAPER_ROWS[row.method], f"{row.data}_class")
        assert row.difference == pytest.approx(row.ours - row.paper, abs=1e-5)
        assert row.ours_low < row.ours < row.ours_high
        assert row.seeds == 3
    assert frame.loc[frame["readout"] != "raw", "paper"].isna().all()


def test_table_one_takes_the_last_step_and_apart_from_it_the_best_of_every_seed(rendered, results):
    frame = pd.read_csv(rendered / "b_table1.csv")
    for block, pick in (
        ("last step", lambda part: -1),
        ("best test step", lambda part: part["value"].argmax()),
    ):
        values = []
        for run in results.of("vn-rotated-es"):
            part = run.metrics.query("split == 'test' and readout == 'own' and metric == 'instance_accuracy'")
            values.append(part["value"].iloc[pick(part)])
        row = frame.query(f"block == '{block}' and run == 'vn-rotated-es' and measure == 'instance'").iloc[0]
        assert row["ours"] == pytest.approx(np.mean(values), rel=1e-5)
        assert row["ours_std"] == pytest.approx(np.std(values, ddof=1), rel=1e-4)


def test_table_one_names_the_selection_on_the_test_set_and_other_readouts_where_they_differ(rendered):
    text = (rendered / "b_table1.md").read_text()
    assert len({line.count("|") for line in text.splitlines()}) == 1
    assert "**At each seed's best test step (selected on the test set)**" in text
    assert text.count("| ours, kept |") == 2  # RECM's, in both blocks
    assert "selects on the test set" in (rendered / "b_table1.rst").read_text()


def test_a_readout_that_scores_the_same_has_no_line(tmp_path, write_vn_run):
    folder = write_vn_run(tmp_path, "vn-rotated-recm", 0)

    def same(metrics):
        test = metrics["split"] == "test"
        own = metrics[test & (metrics["readout"] == "own")]
        return pd.concat([metrics[~test], own, own.assign(readout="kept")])

    change_metrics(folder, same)
    table = b_table1.build(load_runs([folder], "mini"), None)
    assert "ours, kept" not in table.markdown
    assert set(table.frame["readout"]) == {"raw", "kept"}


def test_one_seed_has_no_spread_and_absent_runs_are_named(tmp_path, write_vn_run):
    results = load_runs([write_vn_run(tmp_path, "vn-rotated-plain", 0)], "mini")
    table = b_table1.build(results, None)
    assert "±" not in table.markdown
    assert "| VN-PointNet | ours | 1 |" in table.markdown
    assert "| – | – |" in table.markdown
    assert "Not part of this tier: vn-rotated-es, vn-rotated-rpp" in ending(
        catalogue.by_name("b_table1"), results, results
    )


def test_a_table_without_accuracies_is_one_sentence(tmp_path, write_vn_run):
    folder = write_vn_run(tmp_path, "vn-rotated-plain", 0)
    change_metrics(folder, lambda metrics: metrics[metrics["split"] != "test"])
    with pytest.raises(ResultsError, match=r"b_table1: no run of tier mini given here has a test accuracy"):
        b_table1.build(load_runs([folder], "mini"), None)


def test_table_four_is_extra_parameters_and_extra_time_beside_the_paper(rendered):
    frame = pd.read_csv(rendered / "b_table4.csv").set_index(["run", "measure"])
    rotated, aligned = ("vn-rotated-recm", "vn-aligned-recm")
    assert frame.loc[(rotated, "inference_parameters"), "ours"] == pytest.approx(0, abs=1e-9)
    assert frame.loc[(aligned, "inference_parameters"), "ours"] == pytest.approx(20 / 9 * 7 / 22, rel=1e-4)
    assert frame.loc[(aligned, "inference_parameters"), "paper"] == 1.25
    assert frame.loc[(rotated, "training_time"), "ours"] == pytest.approx(0.4, abs=1e-6)
    assert frame.loc[(rotated, "training_time"), "difference"] == pytest.approx(-0.02, abs=1e-6)


def test_a_network_joins_table_four_by_one_row(monkeypatch, results):
    row = b_table4.Overhead("other", "vn-rotated-plain", "vn-rotated-rpp", "N-body (SEGNN)")
    monkeypatch.setattr(b_table4, "OVERHEADS", (*b_table4.OVERHEADS, row))
    frame = b_table4.overhead_frame(results)
    assert frame.query("row == 'other' and measure == 'training_time'")["paper"].item() == 0.31


def test_table_four_without_a_plain_run_of_the_same_seed_is_one_sentence(tmp_path, write_vn_run):
    folders = [write_vn_run(tmp_path, "vn-rotated-plain", 0), write_vn_run(tmp_path, "vn-rotated-recm", 1)]
    with pytest.raises(ResultsError, match="no such pair with a common seed"):
        b_table4.build(load_runs(folders, "mini"), None)


@pytest.mark.parametrize(
    ("output", "terms"), [("b_fig2", {"alpha_W"}), ("b_fig4", {"alpha_b", "alpha_noise"})]
)
def test_alpha_figures_draw_every_place_of_both_data_sets_and_every_seeds_end(rendered, output, terms):
    points = pd.read_csv(rendered / f"{output}.csv")
    assert set(points["quantity"]) == terms
    for (run, quantity), part in points.groupby(["run", "quantity"]):
        assert part["label"].nunique() == (10 if quantity == "alpha_b" else 22), run
        ends = part[part["step"] == part["step"].max()]
        assert set(ends["seed"]) == {0, 1, 2}


@pytest.mark.parametrize("output", ["b_fig2", "b_fig4", "b_fig5"])
def test_figures_whose_curves_were_not_recovered_say_so(rendered, output):
    assert "and its curves were not recovered." in (rendered / f"{output}.rst").read_text()


def test_figure_five_has_every_size_and_the_accuracy_of_every_seed(rendered):
    points = pd.read_csv(rendered / "b_fig5.csv")
    assert {f"{data}, {size}" for data in ("rotated", "aligned") for size in (2, 4, 8, 16)} <= set(
        points["panel"]
    )
    scores = points.query("panel == 'aligned, accuracy' and quantity == 'instance_accuracy'")
    assert scores.groupby("run").size()["vn-aligned-recm"] == 3
    assert scores.groupby("run").size()["vn-aligned-recm-cg16"] == 1


def test_active_parameters_are_drawn_with_the_papers_levels(rendered):
    points = pd.read_csv(rendered / "b_active_parameters.csv")
    levels = points[points["source"] == "paper"].groupby("panel")["value"].first()
    assert dict(levels) == {"a": 1.0, "b": 2.25}
    assert set(points.loc[points["source"] == "ours", "series"]) == {"plain", "es", "rpp", "recm"}


def test_x1_draws_percent_losses_zero_logits_and_alpha_with_both_readouts(rendered):
    points = pd.read_csv(rendered / "x1.csv")
    for panel in "ab":
        of_panel = points[points["panel"] == panel]
        assert {"percent", "L_mean", "L_equiv", "L_total", "largest_alpha"} == set(of_panel["quantity"])
        assert {"raw", "kept", "zero", "relaxation"} == set(of_panel["series"])
        assert of_panel["run"].nunique() == 4
    assert set(points.loc[points["panel"] == "d", "run"].str.split("-").str[-1]) == {
        "plain",
        "es",
        "rpp",
        "recm",
    }


def test_x1_keeps_in_its_csv_what_it_draws_at_the_floor(rendered):
    points = pd.read_csv(rendered / "x1.csv").query("run == 'vn-rotated-plain' and quantity == 'percent'")
    assert 0 < points["value"].max() < 1e-4


def test_x2_is_the_loss_with_and_without_each_places_terms(rendered, results):
    points = pd.read_csv(rendered / "x2.csv").query("panel == 'b' and seed == 0")
    assert set(points["label"]) == set(PLACES)
    assert points.query("label == 'conv3'")["value"].nunique() == 1  # pruned: nothing to take out
    run = run_of(results, "aligned", "recm")
    expected = losses(run)[Series(without="conv_pos.direction"), "L_equiv"]
    assert points.query("series == 'without conv_pos.direction'")["value"].item() == pytest.approx(
        expected, rel=1e-4
    )
    assert points.query("series == 'raw'")["value"].nunique() == 1


def test_x2_without_its_measurements_is_one_sentence(tmp_path, write_vn_run):
    folders = [write_vn_run(tmp_path, f"vn-{data}-recm", 0) for data in ("rotated", "aligned")]
    for folder in folders:
        table_in(folder, "attribution").unlink(missing_ok=True)
    with pytest.raises(ResultsError, match="x2 needs the losses without each layer's terms"):
        render.render("x2", "mini", tmp_path / "out", folders, ["x"])


@pytest.mark.parametrize("output", ["b_fig2", "b_table1", "b_table4", "x1"])
def test_captions_name_generated_shapes_tier_seeds_and_plain_size(rendered, output):
    caption = (rendered / f"{output}.rst").read_text()
    for words in (
        "Drawn from generated data: generated shapes (8 classes, 800 training and 240 test clouds).",
        "Tier mini; seeds 0, 1, 2; network of 9k parameters.",
    ):
        assert words in caption


def test_captions_count_the_runs_with_fewer_seeds(rendered):
    assert "seeds 0, 1, 2 (fewer for 6 of the 10 runs)" in (rendered / "b_fig5.rst").read_text()


def test_real_clouds_are_named_and_not_called_generated(tmp_path, write_vn_run):
    name = "ModelNet10, rebuilt from 24^3 voxels"
    folders = [
        write_vn_run(tmp_path, f"vn-{data}-recm", 0, tier="subset", dataset=name)
        for data in ("rotated", "aligned")
    ]
    render.render("b_fig2", "subset", tmp_path / "out", folders, ["x"])
    caption = (tmp_path / "out" / "b_fig2.rst").read_text()
    assert f"Data: {name} (8 classes" in caption
    assert "generated" not in caption
    assert "one seed (0)" in caption
    facts = json.loads((tmp_path / "out" / "b_fig2.json").read_text())
    assert facts["data"] == [f"{name}; voxel_clouds"]
