"""By which codes others know our indicators: series of the UN's SDG database, and units of measure of its SDMX code lists."""

from typing import NamedTuple


class Series(NamedTuple):
    """`code`: of the UN's series, or one of ours where it has none. `unit`: SDMX code. `factor`: from our values to that unit."""

    code: str
    unit: str
    factor: float = 1.0


SERIES = {
    ("11.1.1", "household-survey"): Series("EN_LND_SLUM", "PERCENT", 100.0),
    ("11.1.1-proxy", "informal-share"): Series("UT_LND_INFORMAL", "PERCENT", 100.0),
    ("11.2.1", "near-stop"): Series("SP_TRN_PUBL", "PERCENT", 100.0),
    ("11.3.1", "un-2021"): Series("EN_LND_CNSPOP", "RATIO"),
    ("11.3.1", "ln-legacy"): Series("UT_LND_CNSPOP_LN", "RATIO"),
    ("11.3.1-lcr", "un-2021"): Series("UT_LND_LCR", "PER_YEAR"),
    ("11.3.1-lcr", "ln-legacy"): Series("UT_LND_LCR_LN", "PER_YEAR"),
    ("11.3.1-pgr", "pgr"): Series("UT_POP_PGR", "PER_YEAR"),
    ("11.3.1-built-per-person", "built-per-person"): Series("UT_LND_PER_PERSON", "M2"),
    ("11.3.1-change", "change"): Series("UT_LND_CHANGE", "PERCENT", 100.0),
    ("11.7.1", "open-space-share"): Series("EN_URB_OPENSP", "PERCENT", 100.0),
    ("11.7.1", "people-near-open-space"): Series("EN_ACS_URB_OPENSP", "PERCENT", 100.0),
}
"""By indicator and formula. UN codes: Global SDG Indicators Database; codes that begin with UT are ours."""
MISSING, NORMAL = "M", "A"
"""Code list CL_OBS_STATUS of SDMX."""
