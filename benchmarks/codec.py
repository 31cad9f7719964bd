"""BSON <-> Arrow against PyMongo's dictionaries: `python benchmarks/codec.py [documents] [rounds]`.

The peer is what people write: `bson.decode` and `pa.Table.from_pylist` one way, `to_pylist` and
`bson.encode` the other, with the conversions that Arrow and BSON need (ObjectId as text, Decimal128 as
decimal). All run in turns on the same documents; the fastest round of each counts, in thousand documents
per second. The ratio is that of the codec that Levada would choose.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import bson
import pyarrow as pa
from bson import Decimal128, ObjectId

from levada.bson import Decoder, codec, encode, split_reply
from levada.bson.native import VARIABLE

BATCH = 5_000

#: The codecs that there are here, the one that Levada chooses first.
CODECS = [codec(), "reference"][: 1 + (codec() == "native")]
CITIES = ("Lisboa", "Porto", "Faro")
DAY = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)


def transaction(number: int, chance: random.Random) -> dict[str, Any]:
    """One order of a shop, about 360 bytes."""
    items = [
        {
            "product_id": f"P{chance.randrange(1000):05d}",
            "qty": chance.randint(1, 5),
            "price": Decimal128(f"{chance.randint(100, 9999) / 100:.2f}"),
        }
        for _ in range(chance.randint(1, 3))
    ]
    return {
        "_id": ObjectId(),
        "transaction_id": f"T{number:09d}",
        "customer_id": f"C{chance.randrange(50_000):06d}",
        "status": chance.choice(["completed", "pending", "cancelled"]),
        "payment": chance.choice(["card", "transfer", "wallet"]),
        "transaction_date": DAY + dt.timedelta(seconds=chance.randrange(86_400)),
        "total": Decimal128(f"{chance.randint(100, 99_999) / 100:.2f}"),
        "items": items,
        "shipping": {
            "city": chance.choice(["Lisboa", "Porto", "Faro"]),
            "country": "PT",
            "method": "standard",
        },
    }


def shuffled(doc: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The same with its fields in any order."""
    return {name: doc[name] for name in chance.sample(list(doc), len(doc))}


def drifted(doc: dict[str, Any], number: int, chance: random.Random) -> dict[str, Any]:
    """The same with shuffled fields, some missing, and a text in every thousandth number."""
    names = [name for name in doc if chance.random() > 0.2]
    chance.shuffle(names)
    out = {name: doc[name] for name in names}
    if number % 1000 == 0:
        out["total"] = "n/a"
    return out


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    if isinstance(value, Decimal128):
        return value.to_decimal()
    return str(value) if isinstance(value, ObjectId) else value


def stored(value: Any) -> Any:
    """The way back."""
    if isinstance(value, dict):
        return {name: stored(member) for name, member in value.items()}
    if isinstance(value, list):
        return [stored(member) for member in value]
    return Decimal128(value) if isinstance(value, Decimal) else value


def replies(docs: list[dict[str, Any]]) -> list[bytes]:
    """Batches as a server sends them."""
    batches = [docs[at : at + BATCH] for at in range(0, len(docs), BATCH)]
    return [
        bson.encode({"cursor": {"nextBatch": batch, "id": bson.Int64(1)}, "ok": 1.0}) for batch in batches
    ]


def decode(raws: list[bytes]) -> list[pa.RecordBatch]:
    decoder = Decoder()
    return [decoder.decode(split_reply(raw).documents)[0] for raw in raws]


def peer_decode(raws: list[bytes]) -> None:
    for raw in raws:
        pa.Table.from_pylist([plain(doc) for doc in bson.decode(raw)["cursor"]["nextBatch"]])


def peer_dictionaries(raws: list[bytes]) -> None:
    for raw in raws:
        bson.decode(raw)


def encode_all(batches: list[pa.RecordBatch]) -> None:
    for batch in batches:
        encode(batch)


def peer_encode(batches: list[pa.RecordBatch]) -> None:
    for batch in batches:
        for row in batch.to_pylist():
            bson.encode(stored(row))


def using(name: str, run: Callable[[], Any]) -> Callable[[], Any]:
    """The same by this codec."""

    def chosen() -> None:
        os.environ[VARIABLE] = name
        run()

    return chosen


def compare(title: str, rounds: int, count: int, ours: Callable[[], Any], peer: Callable[[], Any]) -> None:
    """One line: the fastest of `rounds` of each, run in turns."""
    runs = [*(using(name, ours) for name in CODECS), peer]
    best = [0.0] * len(runs)
    for _ in range(rounds):
        for at, run in enumerate(runs):
            start = time.perf_counter()
            run()
            best[at] = max(best[at], count / (time.perf_counter() - start) / 1000)
    figures = "".join(f"{figure:>12,.0f}" for figure in best)
    print(f"{title:<36}{figures}{best[0] / best[-1]:>9.1f}x")


def main(count: int = 100_000, rounds: int = 5) -> None:
    chance = random.Random(7)
    docs = [transaction(number, chance) for number in range(count)]
    size = sum(len(bson.encode(doc)) for doc in docs[:1000]) / min(1000, count)
    raws = replies(docs)
    drift = replies([drifted(doc, number, chance) for number, doc in enumerate(docs)])
    batches = decode(raws)
    print(f"{count:,} documents of {size:.0f} bytes, batches of {BATCH:,}; thousand documents per second")
    titles = "".join(f"{title:>12}" for title in (*CODECS, "PyMongo"))
    print(f"{'':<36}{titles}{'ratio':>10}")
    compare("decode", rounds, count, lambda: decode(raws), lambda: peer_decode(raws))
    mixed = replies([shuffled(doc, chance) for doc in docs])
    compare("decode, fields shuffled", rounds, count, lambda: decode(mixed), lambda: peer_decode(mixed))
    title = "decode, shuffled optional fields *"
    compare(title, rounds, count, lambda: decode(drift), lambda: peer_dictionaries(drift))
    compare("encode", rounds, count, lambda: encode_all(batches), lambda: peer_encode(batches))
    print("* the peer stops at dictionaries: from_pylist raises where a field has two types")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
