"""A country sheet as PDF, by WeasyPrint: tagged for screen readers, in a font that comes along."""

import importlib
from pathlib import Path
from typing import Any

import matplotlib as mpl

from conf.errors import InputError

FONT = "DejaVu Sans"
FACES = (("DejaVuSans.ttf", "normal", "normal"), ("DejaVuSans-Bold.ttf", "bold", "normal"), ("DejaVuSans-Oblique.ttf", "normal", "italic"))
"""Files of matplotlib: machines that compute often have no fonts. Scripts that it lacks are taken from the machine's."""


def check_pdf() -> None:
    """Raises InputError where WeasyPrint, or Pango, which it sets text with, is missing."""
    _weasyprint()


def pdf_of(document: str) -> bytes:
    """PDF/UA-1 of an HTML document that holds all it needs. Raises InputError as `check_pdf`."""
    weasyprint = _weasyprint()
    fonts = weasyprint.text.fonts.FontConfiguration()
    faces = weasyprint.CSS(string=_faces(), font_config=fonts, url_fetcher=weasyprint.URLFetcher(allowed_protocols={"file"}))
    page = weasyprint.HTML(string=document, url_fetcher=weasyprint.URLFetcher(allowed_protocols={"data"}))
    return bytes(page.write_pdf(stylesheets=[faces], font_config=fonts, pdf_variant="pdf/ua-1"))


def _weasyprint() -> Any:
    try:
        return importlib.import_module("weasyprint")
    except ImportError:
        raise InputError("country_sheet.pdf needs WeasyPrint; pip install 'urbantrace[pdf]', or leave the setting out") from None
    except OSError as error:
        first = str(error).splitlines()[0]
        raise InputError(f"country_sheet.pdf: WeasyPrint does not find Pango ({first}); install Pango 1.44 or later") from None


def _faces() -> str:
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    faces = (
        f'@font-face{{font-family:"{FONT}";font-weight:{weight};font-style:{style};src:url("{(folder / name).as_uri()}")}}'
        for name, weight, style in FACES
    )
    return f'{"".join(faces)}body{{font-family:"{FONT}",sans-serif}}'
