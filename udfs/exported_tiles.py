"""Exported tiles as files: what is whole and right is left, the rest written, what is no longer there removed.

Every file is written under another name and renamed: one that stands is whole. A tile's item is written after its files."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from affine import Affine

from conf.errors import InputError
from conf.settings import digest
from udfs.cogs import BUILT, PROBABILITY, CogBand, built_pixels, cog_bytes
from udfs.files import file_sha256, write_json, write_whole
from udfs.rasters import ONE, decode_raster
from udfs.stac_export import CATALOG, SHA256, Credit, StoredFile, epoch_catalog, item, root_catalog, root_id

Frames = Iterable[pd.DataFrame]
DATA_VERSION = 1
"""Raised when a change of code changes the bytes of files."""
CONTENT = "urbantrace:content_digest"
EXPORTED_DDL = "layer string, epoch string, tile_id string, written int"
EPOCHS_DDL = "layer string, epoch string, tiles int, removed int"
OURS = re.compile(r"(\.\d+\.)?(catalog\.json|collection\.json|.+_r-?\d+_c-?\d+(\.json|_(probability|built)\.tif))")
"""Names of an export's files, and those they have while they are written."""


class Export(NamedTuple):
    """Where a place's tiles go and what goes with them: plain values, so that it can travel to a worker. `credits` by scene id."""

    folder: str
    place: str
    credits: dict[str, Credit]
    binary: bool
    block_px: int

    def epoch_folder(self, layer: str, epoch: str) -> Path:
        return Path(self.folder) / layer / epoch


def export_tile(row: Any, export: Export) -> int:
    """Files and item of a done row of `built_up`; 1 where any was written, 0 where all stood."""
    folder = export.epoch_folder(row.layer, row.epoch)
    path = folder / f"{row.tile_id}.json"
    tags = cog_tags(row, export)
    content = digest([DATA_VERSION, export.block_px, tags, row.crs, list(row.transform), hashlib.sha256(row.probability).hexdigest()])
    before = _read_item(path)
    wanted = {"probability": PROBABILITY, "built": BUILT} if export.binary else {"probability": PROBABILITY}
    files = _standing(before, folder, row.tile_id, wanted, content)
    if files is None:
        files = [_write_cog(row, folder, key, band, tags, export) for key, band in wanted.items()]
    now = item(row, export.place, export.credits, files)
    now["properties"][CONTENT] = content
    if json.loads(json.dumps(now)) == before:
        return 0
    write_json(path, now)
    return 1


def _write_cog(row: Any, folder: Path, key: str, band: CogBand, tags: dict[str, str], export: Export) -> StoredFile:
    pixels = decode_raster(row.probability, (row.tile_px, row.tile_px))
    shown = pixels if band is PROBABILITY else built_pixels(pixels, row.threshold)
    data = cog_bytes(shown, row.crs, Affine(*row.transform), band, tags, export.block_px)
    name = _file_name(row.tile_id, key)
    write_whole(folder / name, lambda fresh: fresh.write_bytes(data))
    return StoredFile(key, name, band, len(data), hashlib.sha256(data).hexdigest())


def _file_name(tile_id: str, key: str) -> str:
    return f"{tile_id}_{key}.tif"


def _read_item(path: Path) -> dict[str, Any] | None:
    """None where there is none, or nothing that can be read: it is written anew."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _standing(
    before: dict[str, Any] | None, folder: Path, tile_id: str, wanted: dict[str, CogBand], content: str
) -> list[StoredFile] | None:
    """The files that an item names, if it was made of the same content and each of them has its checksum."""
    if before is None or before.get("properties", {}).get(CONTENT) != content:
        return None
    files = []
    for key, band in wanted.items():
        path = folder / _file_name(tile_id, key)
        sha256 = file_sha256(path) if path.is_file() else ""
        if before.get("assets", {}).get(key, {}).get("file:checksum") != SHA256 + sha256:
            return None
        files.append(StoredFile(key, path.name, band, path.stat().st_size, sha256))
    return files


def cog_tags(row: Any, export: Export) -> dict[str, str]:
    """What a file says of itself when it is far from its item."""
    credits = [export.credits[name] for name in sorted(row.scenes_used)]
    attribution = "; ".join(dict.fromkeys(credit.attribution for credit in credits if credit.attribution))
    tags = {
        "PLACE": export.place, "LAYER": row.layer, "EPOCH": row.epoch, "TILE_ID": row.tile_id, "MODEL_NAME": row.model_name,
        "MODEL_VERSION": row.model_version, "MODEL_SHA256": row.model_sha256, "THRESHOLD": f"{row.threshold / ONE:g}",
        "VALID_SHARE": f"{row.valid_share:.6f}", "SCENES": ",".join(sorted(row.scenes_used)), "RUN_ID": row.run_id,
        "LICENCES": "; ".join(dict.fromkeys(credit.licence for credit in credits if credit.licence)),
        "ATTRIBUTION": attribution, "TIFFTAG_COPYRIGHT": attribution,
        "TIFFTAG_IMAGEDESCRIPTION": f"Built-up land, {export.place}, {row.layer}, {row.epoch}",
    }  # fmt: skip
    return {name: value for name, value in tags.items() if value}


def finish_epoch(export: Export, layer: str, epoch: str, tile_ids: list[str]) -> int:
    """The catalog of an epoch whose items stand, then the files of tiles no longer in it removed; how many."""
    folder = export.epoch_folder(layer, epoch)
    write_json(folder / CATALOG, epoch_catalog(export.place, layer, epoch, tile_ids))
    keys = ("probability", "built") if export.binary else ("probability",)
    names = {CATALOG, *(f"{name}.json" for name in tile_ids), *(_file_name(name, key) for name in tile_ids for key in keys)}
    return remove_others(folder, names)


def remove_others(folder: Path, names: set[str]) -> int:
    """Remove the files of an export from a folder but those named; files of other kinds are not ours. How many."""
    others = [path for path in folder.iterdir() if OURS.fullmatch(path.name) and path.name not in names and path.is_file()]
    for path in others:
        path.unlink(missing_ok=True)
    return len(others)


def remove_left(folder: Path, epochs: dict[str, tuple[str, ...]]) -> int:
    """Remove what an earlier export left of layers and epochs that are not in `epochs` (layer to names); how many files."""
    removed = 0
    for layer in _folders(folder):
        for epoch in (epoch for epoch in _folders(layer) if epoch.name not in epochs.get(layer.name, ())):
            removed += _emptied(epoch)
        if layer.name not in epochs:
            removed += _emptied(layer)
    return removed


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())


def _emptied(folder: Path) -> int:
    removed = remove_others(folder, set())
    if not any(folder.iterdir()):
        folder.rmdir()
    return removed


def check_folder(folder: Path, place: str) -> None:
    """Raises InputError unless `folder` is new, empty or this place's own export: what is no longer mapped is removed there."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    found = _read_item(folder / CATALOG) if folder.is_dir() else None
    if found is None or found.get("id") != root_id(place):
        raise InputError(f"setting built_up_cogs.folder = {folder}: it holds other things than exports of {place}; name an empty folder")


def claim_folder(folder: Path, place: str, title: str) -> None:
    """Begin an export: an empty catalog says whose the folder is, so that a killed run goes on."""
    if not (folder / CATALOG).exists():
        write_json(folder / CATALOG, root_catalog(place, title, ()))


def export_batches(frames: Frames, export: Export) -> Iterator[pd.DataFrame]:
    """Done rows of `built_up` to EXPORTED_DDL."""
    for frame in frames:
        rows = [(row.layer, row.epoch, row.tile_id, export_tile(row, export)) for row in frame.itertuples()]
        yield pd.DataFrame(rows, columns=["layer", "epoch", "tile_id", "written"])


def epoch_frame(frame: pd.DataFrame, export: Export) -> pd.DataFrame:
    """Exported tiles of one layer and epoch to one row of EPOCHS_DDL."""
    layer, epoch = str(frame["layer"].iloc[0]), str(frame["epoch"].iloc[0])
    removed = finish_epoch(export, layer, epoch, list(frame["tile_id"]))
    return pd.DataFrame([(layer, epoch, len(frame), removed)], columns=["layer", "epoch", "tiles", "removed"])
