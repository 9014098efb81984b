"""All sensors, as data: bands, calibration, what is no data. A new one is an entry in the file of its programme and nothing else."""

from conf.sensor import OFFSET_DATE, Band, Linear, Mask, Sensor, Values
from conf.sensors_china import CHINA
from conf.sensors_commercial import COMMERCIAL
from conf.sensors_esa import ESA
from conf.sensors_landsat import LANDSAT

__all__ = ["OFFSET_DATE", "SENSORS", "Band", "Linear", "Mask", "Sensor", "Values"]

SENSORS = {sensor.name: sensor for sensor in (*ESA, *LANDSAT, *CHINA, *COMMERCIAL)}
