"""Where informality can be told, and which settings make no sense; its rows are compared in test_flow, its figures by benchmarks.mumbai."""

import pytest

from conf.errors import InputError
from conf.place import Place
from conf.settings import parse
from jobs.sdg11.informality import InformalitySettings, cannot_tell, suited_composite

ANCHORS = {"ndvi": [0.2, 0.1], "swir_ratio": [0.8, 0.9], "contrast": [0.2, 0.1], "alignment": [0.6, 0.1]}


def place(sensor: str, resolution: float) -> Place:
    epochs = [{"name": "2020", "start": "2020-01-01", "end": "2020-12-31", "reference": "2020-07-01"}]
    layers = {"mapped": {"sensor": sensor, "resolution": resolution, "feeds": "built_m2"}}
    return Place.model_validate({"name": "drawn", "epochs": epochs, "layers": layers})


@pytest.mark.parametrize(
    ("sensor", "resolution", "values", "reason"),
    [
        ("sentinel2_l2a", 10.0, {}, None),
        ("sentinel2_l2a", 60.0, {}, "pixels of layer mapped are 60 m"),
        ("rgb", 0.5, {}, "pixels of layer mapped are 0.5 m"),
        ("landsat7_dn", 28.5, {}, "sensor landsat7_dn has no calibration: set the anchors ndvi, swir_ratio, contrast, alignment"),
        ("landsat7_dn", 28.5, {"ndvi": [0.2, 0.1]}, "no calibration"),
        ("landsat7_dn", 28.5, ANCHORS, None),
        ("landsat_stretched", 0.0008, ANCHORS, "pixels of layer mapped are 89.1 m"),
        ("landsat_stretched", 30.0, ANCHORS, "sensor landsat_stretched has no swir2"),
    ],
)
def test_where_it_can_be_told(sensor: str, resolution: float, values: dict[str, object], reason: str | None) -> None:
    found = cannot_tell(place(sensor, resolution), parse(InformalitySettings, values, "informality"))
    assert found is None if reason is None else reason in str(found)


def test_settings_that_make_no_sense_are_refused_in_a_line() -> None:
    with pytest.raises(InputError, match=r"informality: ndvi = \[0.2, 0.2\]: give two different values"):
        parse(InformalitySettings, {"ndvi": [0.2, 0.2]}, "informality")
    with pytest.raises(InputError, match=r"informality\.composite despeckled is for backscatter"):
        suited_composite(place("sentinel2_l2a", 10.0), parse(InformalitySettings, {"composite": "despeckled"}, "informality"))
