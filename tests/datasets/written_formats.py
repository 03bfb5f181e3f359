"""One small shop, written in every format that `robustrec data import` reads."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

Row = tuple[str, str, float, int]


@dataclass(frozen=True)
class Shop:
    """Rows of user, item, rating and time; title and categories by item; content of pictures by item."""

    rows: tuple[Row, ...]
    items: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [
            {"item_id": name, "title": title, "categories": list(labels)}
            for name, (title, labels) in self.items.items()
        ]


def small_shop(users: int = 12, items: int = 12) -> Shop:
    rows = [
        (str(100 + user), str(7 * item + 3), 1 + (user * item) % 9 / 2, 1_260_759_108 + 1000 * user + item)
        for user in range(users)
        for item in range(items)
        if (user + item) % 4
    ]
    return Shop(
        tuple(rows), {str(7 * item + 3): (f"Good {item}", ("Toys", f"Kind {item % 3}")) for item in range(items)}
    )


def _delimited(rows: Any, separator: str) -> str:
    return "".join(separator.join(map(str, row)) + "\n" for row in rows)


def csv(folder: Path, shop: Shop, name: str = "ratings.csv") -> None:
    opener: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    with opener.get(Path(name).suffix, open)(folder / name, "wt", encoding="utf-8") as file:
        file.write("user_id,item_id,rating,timestamp\n" + _delimited(shop.rows, ","))
    if shop.items:
        text = "".join(f"{name},{title},{'|'.join(labels)}\n" for name, (title, labels) in shop.items.items())
        (folder / "items.csv").write_text("item_id,title,categories\n" + text)


def recbole(folder: Path, shop: Shop) -> None:
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    (folder / "shop.inter").write_text(header + _delimited(shop.rows, "\t"))
    if shop.items:
        lines = [f"{name}\t{title}\t{'|'.join(labels)}\n" for name, (title, labels) in shop.items.items()]
        (folder / "shop.item").write_text("item_id:token\ttitle:token_seq\tcategories:token_seq\n" + "".join(lines))
    (folder / "shop.user").write_text("user_id:token\tage:float\n100\t25\n")


def movielens_1m(folder: Path, shop: Shop) -> None:
    (folder / "ratings.dat").write_text(_delimited(shop.rows, "::"))
    lines = [f"{name}::{title}::{'|'.join(labels)}\n" for name, (title, labels) in shop.items.items()]
    (folder / "movies.dat").write_bytes("".join(lines).encode("iso-8859-1"))
    (folder / "users.dat").write_text("100::F::1::10::48067\n")


def movielens_csv(folder: Path, shop: Shop) -> None:
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + _delimited(shop.rows, ","))
    lines = [f"{name},{title},{'|'.join(labels)}\n" for name, (title, labels) in shop.items.items()]
    (folder / "movies.csv").write_text("movieId,title,genres\n" + "".join(lines))
    (folder / "tags.csv").write_text("userId,movieId,tag,timestamp\n100,3,fun,1\n")
    (folder / "links.csv").write_text("movieId,imdbId,tmdbId\n3,1,1\n")


def json_lines(folder: Path, shop: Shop) -> None:
    names = ("user_id", "item_id", "rating", "timestamp")
    lines = [json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in shop.rows]
    (folder / "interactions.jsonl").write_text("".join(lines))
    if shop.items:
        (folder / "items.jsonl").write_text("".join(json.dumps(record) + "\n" for record in shop.records))


def interactions_table(shop: Shop) -> Any:
    users, items, ratings, times = zip(*shop.rows, strict=True)
    return pa.table(
        {
            "user_id": pa.array([int(each) for each in users]),
            "item_id": pa.array(items).dictionary_encode(),
            "rating": pa.array(ratings, pa.float32()),
            "timestamp": pa.array([each * 1000 for each in times], pa.timestamp("ms")),
        }
    )


def catalog_table(shop: Shop) -> Any:
    table = pa.Table.from_pylist(shop.records)
    if shop.pictures:
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        stored = [
            {"bytes": shop.pictures[name], "path": None} if name in shop.pictures else None
            for name in table["item_id"].to_pylist()
        ]
        table = table.append_column("image", pa.array(stored, kind))
    return table


def parquet(folder: Path, shop: Shop) -> None:
    pq.write_table(interactions_table(shop), folder / "interactions.parquet", row_group_size=17)
    if shop.items:
        pq.write_table(catalog_table(shop), folder / "items.parquet", row_group_size=5)


def partitioned(folder: Path, shop: Shop) -> None:
    table = interactions_table(shop)
    for number, first in enumerate(range(0, len(table), 40)):
        place = folder / "interactions" / f"day={number}"
        place.mkdir(parents=True)
        pq.write_table(table.slice(first, 40), place / f"part-{number:05}-c000.snappy.parquet")
    (folder / "interactions" / "_SUCCESS").touch()
    if shop.items:
        (folder / "items").mkdir()
        for number, first in enumerate(range(0, len(shop.items), 5)):
            pq.write_table(catalog_table(shop).slice(first, 5), folder / "items" / f"part-{number:05}.parquet")


def arrow_bytes(table: Any, *, stream: bool = True, rows: int = 30) -> bytes:
    sink = io.BytesIO()
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    with make(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)
    return sink.getvalue()


def saved(folder: Path, table: Any, parts: int = 2) -> None:
    """Write what `datasets.Dataset.save_to_disk` writes."""
    folder.mkdir(parents=True, exist_ok=True)
    size = -(-len(table) // parts)
    names = [f"data-{number:05}-of-{parts:05}.arrow" for number in range(parts)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(arrow_bytes(table.slice(number * size, size)))
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "0", "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text('{"features": {}}')


def huggingface(folder: Path, shop: Shop) -> None:
    names = ["interactions"] + ["items"] * bool(shop.items)
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": names}))
    saved(folder / "interactions", interactions_table(shop))
    if shop.items:
        saved(folder / "items", catalog_table(shop))


WRITERS: dict[str, Callable[[Path, Shop], None]] = {
    "csv": csv,
    "csv.gz": lambda folder, shop: csv(folder, shop, "ratings.csv.gz"),
    "csv.bz2": lambda folder, shop: csv(folder, shop, "ratings.csv.bz2"),
    "csv.xz": lambda folder, shop: csv(folder, shop, "ratings.csv.xz"),
    "recbole": recbole,
    "movielens-1m": movielens_1m,
    "movielens-csv": movielens_csv,
    "jsonl": json_lines,
    "parquet": parquet,
    "partitioned": partitioned,
    "huggingface": huggingface,
}


def written(folder: Path, form: str, shop: Shop) -> Path:
    """Write the shop in a format into a new folder, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    WRITERS[form](folder, shop)
    return folder
