"""Training windows: what orders give, weak labels, and that the scored city is never trained on."""

import json

import numpy as np
import pyarrow as pa
import pytest
import rasterio
from affine import Affine

from conf.errors import InputError
from conf.windows import WINDOW_COLUMNS
from udfs.simulation.open_ground import bared
from udfs.training_windows import MAKERS, sensor_of, softened, sparse_ground, stretched, window_batches
from udfs.weak_labels import DRY_FLAT_WEIGHT, landsat_rules, sentinel2_rules


@pytest.fixture
def drone(tmp_path):
    """A 40 x 24 image of 0.5 m at the equator, an L-shaped and a square building 2 m apart."""
    transform = Affine(0.5, 0, 0, 0, -0.5, 0)
    pixels = np.random.default_rng(1).integers(1, 255, (3, 24, 40), np.uint8)
    profile = {"driver": "GTiff", "count": 3, "height": 24, "width": 40, "dtype": "uint8", "crs": "EPSG:3857", "transform": transform}
    with rasterio.open(tmp_path / "drone.tif", "w", **profile) as file:
        file.write(pixels)
    degree = 1 / 111319.49079327358
    rings = [[(1, -1), (6, -1), (6, -3), (3, -3), (3, -8), (1, -8), (1, -1)], [(8, -1), (12, -1), (12, -5), (8, -5), (8, -1)]]
    shapes = [{"type": "Polygon", "coordinates": [[(x * degree, y * degree) for x, y in ring]]} for ring in rings]
    features = [{"type": "Feature", "properties": {}, "geometry": shape} for shape in shapes]
    (tmp_path / "labels.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    order = {"kind": "footprints", "source": "drone", "split": "train", "share": 2, "sensor": "rgb", "datetime": "2023-07-01",
             "bands": ["red", "green", "blue"], "href": str(tmp_path / "drone.tif"), "footprints": str(tmp_path / "labels.geojson"),
             "columns": [0, 0.5], "gap_px": 3, "gap_weight": 3}  # fmt: skip
    return order, pixels


def test_footprints_become_labels_and_gaps_between_neighbours_weigh_more(drone):
    order, pixels = drone
    ground = MAKERS["footprints"](order)
    expected = np.zeros((24, 20), np.uint8)
    expected[2:6, 2:12] = expected[2:16, 2:6] = expected[2:10, 16:20] = 250
    assert np.array_equal(ground.labels, expected)
    assert np.allclose(ground.values, pixels[:, :, :20] / 255, atol=1e-6)
    assert ground.weights[4, 13] == 30
    assert ground.weights[20, 3] == 10
    assert (ground.weights[ground.labels > 0] == 10).all()


def test_a_window_to_judge_keeps_the_image_and_only_its_columns_count(drone):
    order, _ = drone
    ground = MAKERS["footprints"]({**order, "split": "judge", "columns": [0.5, 1]})
    assert ground.values.shape == (3, 24, 40)
    assert (ground.weights[:, :20] == 0).all()
    assert (ground.weights[:, 20:] > 0).all()


def test_bands_of_both_sentinels_and_dates_one_upon_the_other_come_in_the_order_asked_for():
    order = {"kind": "simulated_sentinels", "source": "s", "split": "train", "share": 1, "seed": 9, "look": "arid", "size_m": 1280.0,
             "dates": ["2020-02-01", "2020-08-01"], "cloud": 0.2, "wet": 0.0, "bare": 0.0, "softness": 0.0, "sparse_weight": 1}  # fmt: skip
    make = MAKERS["simulated_sentinels"]
    both, optical, radar = (make({**order, "bands": bands}).values for bands in (["B11", "VH", "B02"], ["B02", "B11"], ["VV", "VH"]))
    assert np.array_equal(both, np.stack([optical[1], radar[1], optical[0]]), equal_nan=True)
    assert radar[0].mean() > radar[1].mean() + 3
    single = [make({**order, "bands": ["B02", "B11"], "dates": [date]}).values for date in order["dates"]]
    dated = make({**order, "bands": ["B02", "B11"], "slots": 3}).values
    assert np.array_equal(dated[:4], np.concatenate(single), equal_nan=True)
    assert np.isnan(dated[4:]).all()


def test_a_batch_of_orders_gives_a_row_each_that_reads_back(drone):
    order, _ = drone
    specs = pa.record_batch([pa.array([json.dumps(order), json.dumps({**order, "split": "choose"})])], names=["spec"])
    rows = pa.Table.from_batches(window_batches(iter([specs]))).to_pylist()
    assert [row["split"] for row in rows] == ["train", "choose"]
    assert list(rows[0]) == list(WINDOW_COLUMNS) and rows[0]["sensor"] == "rgb"
    assert sensor_of({"kind": "simulated_sentinel2", "sensor": None}) == "sentinel2"
    values = np.frombuffer(rows[0]["values"], np.float16).reshape(rows[0]["bands"], rows[0]["height"], rows[0]["width"])
    assert np.allclose(values, MAKERS["footprints"](order).values, atol=1e-3)


SIMULATED = {"source": "city", "split": "train", "share": 1, "seed": 77, "look": "coastal", "size_m": 1280.0, "cloud": 0.3,
             "wet": 0.0, "bare": 0.0, "softness": 0.0, "sparse_weight": 1, "dates": ["2020-03-01", "2020-08-11"]}  # fmt: skip


def test_simulated_windows_have_physical_values_and_both_labels():
    optical = MAKERS["simulated_sentinels"]({**SIMULATED, "bands": ["B04", "B08", "B11"]})
    assert optical.values.shape == (3, 128, 128)
    assert np.nanmin(optical.values) >= 0
    assert np.nanmedian(optical.values) < 0.6
    assert 0.02 < (optical.labels > 0).mean() < 0.9
    landsat = MAKERS["simulated_landsat"]({**SIMULATED, "bands": ["red", "nir"], "gsd": 20})
    assert landsat.values.shape == (2, 64, 64)
    assert (landsat.values.min(), landsat.values.max()) == (0, 1)
    aerial = MAKERS["simulated_rgb"]({**SIMULATED, "gsd": 0.5, "side_m": 40.0})
    assert aerial.values.shape == (3, 80, 80)


def test_soft_labels_keep_the_side_of_one_half():
    share = np.arange(26, dtype=np.float32) / 25
    hard, soft = softened(share, 0.0), softened(share, 0.6)
    assert ((soft >= 0.5) == (hard == 1)).all()
    assert soft[[0, 5, 10, 15, 25]] == pytest.approx([0, 0, 1 / 3, 2 / 3, 1], abs=1e-6)
    plain, ramp = (MAKERS["simulated_sentinels"]({**SIMULATED, "bands": ["B04"], "softness": width}).labels for width in (0.0, 0.6))
    assert set(np.unique(plain)) == {0, 250}
    assert len(np.unique(ramp)) > 10
    assert ((ramp >= 125) == (plain == 250)).all()


def test_bared_ground_is_as_bright_as_roofs_and_what_is_built_stays():
    bands = ["B02", "B04", "B08", "B11"]
    plain, bare = (MAKERS["simulated_sentinels"]({**SIMULATED, "bands": bands, "softness": 0.6, "bare": share}) for share in (0.0, 0.4))
    assert np.array_equal(plain.labels, bare.labels) and np.array_equal(plain.weights, bare.weights)
    changed = (plain.values != bare.values).any(0) & np.isfinite(plain.values).all(0)
    assert 0.03 < changed.mean() < 0.4 and (plain.labels[changed] < 65).all()
    rises = np.diff(bare.values[:, changed], axis=0)
    assert (np.median(rises, axis=1) > 0).all()


def test_bared_ground_lies_under_the_air_of_its_scene():
    empty = np.zeros((3, 64, 64), np.float32)
    clear, hazy = (bared(empty, ("B02", "B08", "B11"), empty[0], haze, 0.4, 3) for haze in (0.0, 1.0))
    blue, near, short = (hazy - clear)[:, (clear > 0).all(0)].mean(1)
    assert blue > 0.02 and blue > near > short


def test_a_lone_road_is_sparse_ground_and_a_town_is_not():
    built = np.zeros((90, 120), bool)
    built[10, :40] = True
    built[40:80, 60:110] = True
    sparse = sparse_ground(built)
    assert sparse[10, 5:35].all() and sparse[12, 5:35].all()
    assert not sparse[14].any() and not sparse[45:75, 65:105].any()


def test_the_scored_city_is_never_trained_on():
    with pytest.raises(InputError, match="never trained on"):
        MAKERS["simulated_sentinels"]({**SIMULATED, "look": "default", "bands": ["B04"]})


def test_stretch_is_between_percentiles_and_keeps_no_data():
    values = np.arange(200, dtype=np.float32).reshape(1, 10, 20) * 3 + 7
    values[0, 0, 0] = np.nan
    result = stretched(values)
    low, high = np.nanpercentile(values, [2, 98])
    assert np.isnan(result[0, 0, 0])
    assert result[0, 5, 5] == pytest.approx((values[0, 5, 5] - low) / (high - low), abs=1e-5)
    assert (np.nanmin(result), np.nanmax(result)) == (0, 1)


def _scene(built, water):
    """Stretched bands: forest, with a town and water where the masks are."""
    levels = {"green": (0.2, 0.5, 0.3), "red": (0.1, 0.5, 0.2), "nir": (0.8, 0.4, 0.05), "swir1": (0.5, 0.6, 0.05)}
    return {band: np.where(water, wet, np.where(built, town, wood)).astype(np.float32) for band, (wood, town, wet) in levels.items()}


def test_rivers_that_move_are_never_built_and_towns_that_stay_are():
    town, bar, none = (np.zeros((40, 60), bool) for _ in range(3))
    town[5:20, 8:30] = True
    bar[26:38, 35:55] = True
    series = [_scene(town | bar, none), _scene(town, bar)]
    first = landsat_rules(series, 0)
    assert (first.labels[8:17, 11:27] == 250).all()
    assert not first.labels[bar].any()
    assert (first.weights[28:36, 38:52] == 10).all()
    alone = landsat_rules(series[:1], 0)
    assert (alone.labels[29:35, 39:50] == 250).all()


def test_water_and_woods_are_not_built_bare_rough_ground_amid_more_of_it_is_and_smooth_soil_in_towns_is_left_open():
    spectra = {  # water, wood, town, soil
        "B02": (0.12, 0.09, 0.14, 0.13), "B03": (0.1, 0.08, 0.12, 0.15), "B04": (0.08, 0.05, 0.12, 0.2), "B08": (0.05, 0.33, 0.15, 0.26),
        "B8A": (0.05, 0.35, 0.16, 0.28), "B11": (0.02, 0.2, 0.17, 0.33), "B12": (0.01, 0.1, 0.14, 0.28),
    }  # fmt: skip
    zones = np.arange(160)[None, :] // 40 + np.zeros((80, 1), int)
    light = 1 + np.random.default_rng(6).normal(0, 0.15, zones.shape)
    light[:, 121:] = 1
    light[35:45, 96:104] = 1
    weak = sentinel2_rules([{band: (np.array(values)[zones] * light).astype(np.float32) for band, values in spectra.items()}], 0)
    assert (weak.weights[5:75, 3:37] == 20).all() and (weak.labels[:, :78] == 0).all()
    assert (weak.weights[5:75, 44:76] == 10).all()
    assert (weak.labels[6:30, 84:116] == 250).mean() > 0.9
    assert not weak.weights[39:41, 99:101].any()
    assert not weak.labels[:, 128:].any() and (weak.weights[:, 145:] == 10).all()


def test_what_is_wet_at_any_date_is_never_built():
    wet = {"B02": 0.11, "B03": 0.1, "B04": 0.08, "B08": 0.1, "B8A": 0.11, "B11": 0.04, "B12": 0.03}
    town = {"B02": 0.14, "B03": 0.12, "B04": 0.12, "B08": 0.15, "B8A": 0.16, "B11": 0.17, "B12": 0.14}
    flat = np.arange(60)[None, :] + np.zeros((40, 1)) < 25
    light = 1 + np.random.default_rng(6).normal(0, 0.12, flat.shape)
    dates = [{band: (np.where(flat & tide, wet[band], town[band]) * light).astype(np.float32) for band in wet} for tide in (True, False)]
    dry = sentinel2_rules(dates, 1)
    assert (dry.labels[5:35, 5:27] == 0).all() and (dry.weights[5:35, 5:22] == 10 * DRY_FLAT_WEIGHT).mean() > 0.9
    assert (dry.labels[6:34, 32:55] == 250).mean() > 0.9
    assert (sentinel2_rules(dates[1:], 0).labels[6:34, 6:22] == 250).mean() > 0.9


def test_only_what_is_bare_rough_ground_at_every_date_is_built_and_what_is_smooth_over_70_m_is_not():
    moist = {"B02": 0.09, "B03": 0.055, "B04": 0.05, "B08": 0.06, "B8A": 0.07, "B11": 0.055, "B12": 0.04}
    town = {"B02": 0.14, "B03": 0.12, "B04": 0.12, "B08": 0.15, "B8A": 0.16, "B11": 0.17, "B12": 0.14}
    flat = np.arange(90)[None, :] + np.zeros((60, 1)) < 25
    light = 1 + np.random.default_rng(6).normal(0, 0.12, flat.shape)
    light[24:37, 52:65], light[10:16, 50:56] = 1, 1
    dates = [{band: (np.where(flat & tide, moist[band], town[band]) * light).astype(np.float32) for band in town} for tide in (True, False)]
    dry = sentinel2_rules(dates, 1)
    assert not dry.labels[:, :18].any() and not dry.weights[6:54, 3:18].any()
    assert (dry.labels[6:18, 32:85] == 250).mean() > 0.9
    assert (dry.weights[27:34, 55:62] == 10).all() and not dry.labels[27:34, 55:62].any()
    assert (dry.labels[12:14, 52:54] == 250).all()  # a roof of 60 m


def _written(folder, date, levels, columns):
    """A band a file, 9e-5 degrees at 47 N: 10 m by 6.8 m; each band rises eastwards from its level, the same at the same longitude."""
    for band, level in (dict.fromkeys(("B01", "B05", "B06", "B07", "B09", "B10"), 1000) | levels).items():
        rise = np.array(columns) * 4 + level
        transform = Affine(9e-5, 0, 3.0 + columns.start * 9e-5, 0, -9e-5, 47.0)
        profile = {"driver": "GTiff", "count": 1, "height": 60, "width": rise.size, "dtype": "uint16", "crs": "EPSG:4326"}
        with rasterio.open(folder / f"{date}_{band}.tif", "w", **profile, transform=transform) as file:
            file.write(np.broadcast_to(rise, (1, 60, rise.size)).astype(np.uint16))


def test_images_in_degrees_are_read_on_utm_and_other_dates_on_the_same_pixels(tmp_path):
    town = {"B02": 1400, "B03": 1200, "B04": 1200, "B08": 1500, "B8A": 1600, "B11": 1700, "B12": 1400}
    water = {"B02": 1100, "B03": 1000, "B04": 800, "B08": 500, "B8A": 500, "B11": 10, "B12": 10}
    _written(tmp_path, "dry", town, range(90))
    _written(tmp_path, "wet", water, range(40, 130))
    paths = [str(tmp_path / f"{date}_{{band}}.tif") for date in ("dry", "wet")]
    order = {"kind": "weak", "source": "s", "split": "unlabelled", "share": 1.0, "rules": "sentinel2", "sensor": "sentinel2_l1c",
             "datetime": "2016-06-01", "bands": list(town), "resolution": 10.0, "series": paths, "href": paths[0]}  # fmt: skip
    ground = MAKERS["weak"](order)
    height, width = ground.values.shape[1:]
    wide = 9e-5 * 111320 * np.cos(np.radians(47))
    assert (height, width) == pytest.approx((60.0, 90 * wide / 10), abs=2.5)
    assert np.nanmedian(np.diff(ground.values[0], axis=1)) == pytest.approx(4e-4 * 10 / wide, rel=0.03)
    sure = ground.weights == 10 * DRY_FLAT_WEIGHT
    assert not sure[:, : width * 40 // 90 - 2].any() and sure[6:-6, width * 40 // 90 + 4 : -4].mean() > 0.9
    other = MAKERS["weak"]({**order, "href": paths[1]})
    assert other.values.shape == ground.values.shape and other.ground == ground.ground != ""
    own = MAKERS["weak"]({**order, "resolution": None, "series": paths[:1]})
    assert own.ground == ""
    assert own.values.shape == (7, 60, 90)
