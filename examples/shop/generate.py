"""Data for the shop: customers, products and transactions; the same seed and arguments give the same bytes.

    python generate.py --uri mongodb://localhost:27017 --transactions 1000000 --days 3 --end 2026-11-24

A day's transactions depend on the seed, the day and how many there are, never on the other days. They have
what real ones have: about 1 % without a total, 0.5 % without a status, 0.2 % without a customer_id, 1 % whose
customer is unknown, and 1 % that arrive hours late (`created_at`).

Documents are put together from pieces of BSON: everything that repeats (an item in some quantity, an address)
is encoded once, and what differs (ids, dates, sums) is written into the bytes by numpy, a block at a time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import bson
import numpy as np
from bson import Decimal128, ObjectId
from bson.raw_bson import RawBSONDocument
from numpy.typing import NDArray
from pymongo import MongoClient
from pymongo.database import Database

Draws = NDArray[np.int64]
Document = dict[str, Any]


def _words(text: str) -> list[str]:
    return text.split()


TIERS = {"bronze": 0.55, "silver": 0.28, "gold": 0.13, "platinum": 0.04}
STATUSES = {"completed": 0.82, "pending": 0.08, "cancelled": 0.06, "refunded": 0.04}
NULL_TOTAL, NULL_STATUS, MISSING_CUSTOMER, ORPHAN, LATE = 0.01, 0.005, 0.002, 0.01, 0.01

_FIRST = _words("Ana Bruno Carla Daniel Eva Filipe Greta Hugo Ines Jakob Klara Luis Maria Nuno Olga Paul")
_LAST = _words("Almeida Berg Costa Dubois Evans Ferreira Garcia Hansen Ivanov Jones Klein Lopes Moreau Novak")
_MAKES = _words("Oak Steel Linen Cotton Glass Marble Copper Bamboo Leather Walnut")
_CATEGORIES = {
    "home": _words("Table Chair Lamp Shelf Mirror"),
    "kitchen": _words("Pan Knife Kettle Mug Plate"),
    "fashion": _words("Shirt Jacket Scarf Boots Belt"),
    "outdoor": _words("Tent Stove Bottle Rope Chair"),
}
_CITIES = {
    "Lisbon": ("PT", "1100-148"),
    "Porto": ("PT", "4000-322"),
    "Madrid": ("ES", "28013"),
    "Paris": ("FR", "75004"),
    "Berlin": ("DE", "10115"),
    "Vienna": ("AT", "1010"),
    "Dublin": ("IE", "D02 X285"),
    "London": ("GB", "EC1A 1BB"),
    "New York": ("US", "10001"),
    "São Paulo": ("BR", "01310-100"),
}
_SHIPPING = ("standard", "express", "pickup")
_PAYMENTS = ("card", "paypal", "transfer", "voucher")
_HOURS = (2, 1, 1, 1, 1, 2, 3, 5, 7, 9, 10, 10, 11, 10, 9, 9, 10, 11, 13, 14, 13, 10, 7, 4)
_MOST_ITEMS, _MOST_OF_ONE = 5, 4
_BLOCK = 10_000
_FIRST_ORPHAN = 9_000_000
_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class Product:
    """A product of the shop; the price is in cents."""

    product_id: str
    name: str
    category: str
    cents: int

    def document(self) -> Document:
        price = Decimal128(f"{self.cents // 100}.{self.cents % 100:02d}")
        return {
            "_id": _object_id("products", int(self.product_id[1:])),
            "product_id": self.product_id,
            "name": self.name,
            "category": self.category,
            "price": price,
        }


def make_products(count: int, seed: int) -> list[Product]:
    """`count` products, P00001 and on; most are cheap, a few are dear."""
    random = _random(seed, 1)
    kinds = [(category, kind) for category, names in _CATEGORIES.items() for kind in names]
    kind_of, make_of = random.integers(len(kinds), size=count), random.integers(len(_MAKES), size=count)
    cents = np.clip(random.lognormal(7.6, 0.9, size=count).astype(np.int64), 199, 99_999) // 100 * 100 + 99
    return [
        Product(
            f"P{n + 1:05d}",
            f"{_MAKES[make_of[n]]} {kinds[kind_of[n]][1]}",
            kinds[kind_of[n]][0],
            int(cents[n]),
        )
        for n in range(count)
    ]


def make_customers(count: int, seed: int) -> Iterator[Document]:
    """`count` customers, C0000001 and on, of the four tiers."""
    random = _random(seed, 2)
    tiers, cities = list(TIERS), list(_CITIES.values())
    tier_of = random.choice(len(tiers), size=count, p=list(TIERS.values())).tolist()
    city_of = random.integers(len(cities), size=count).tolist()
    first_of, last_of = (random.integers(len(names), size=count).tolist() for names in (_FIRST, _LAST))
    joined = random.integers(1_500 * 86_400, size=count).tolist()
    for n in range(count):
        first, last = _FIRST[first_of[n]], _LAST[last_of[n]]
        yield {
            "_id": _object_id("customers", n + 1),
            "customer_id": f"C{n + 1:07d}",
            "name": f"{first} {last}",
            "tier": tiers[tier_of[n]],
            "email": f"{first}.{last}.{n + 1}@example.com".lower(),
            "country": cities[city_of[n]][0],
            "created_at": datetime(2022, 1, 1, tzinfo=UTC) + timedelta(seconds=joined[n]),
        }


def make_transactions(
    day: date, count: int, *, customers: int, products: Sequence[Product], seed: int
) -> Iterator[list[RawBSONDocument]]:
    """Blocks of the day's transactions, in the order of their time."""
    pieces = _Pieces(products)
    for start in range(0, count, _BLOCK):
        numbers = np.arange(start, min(start + _BLOCK, count))
        random = _random(seed, 3, day.toordinal(), start)
        block = _block(day, numbers, count=count, customers=customers, pieces=pieces, random=random)
        yield [RawBSONDocument(raw) for raw in block]


class _Pieces:
    """Encoded parts of transactions, and their lengths, by number."""

    def __init__(self, products: Sequence[Product]) -> None:
        items = [
            {"product_id": p.product_id, "name": p.name, "quantity": quantity, "price": p.document()["price"]}
            for p in products
            for quantity in range(1, _MOST_OF_ONE + 1)
        ]
        self.cents = np.array([p.cents for p in products])
        self.items = [[*(_elements({str(n): item}) for item in items), b""] for n in range(_MOST_ITEMS)]
        self.statuses = [_elements({"status": status}) for status in [*STATUSES, None]]
        self.ends = [
            b"\0" + _elements({"shipping": {"method": method, "address": address}, "payment_method": payment})
            for method in _SHIPPING
            for address in ({"city": c, "country": k, "zip": z} for c, (k, z) in _CITIES.items())
            for payment in _PAYMENTS
        ]
        self.item_lengths = _lengths(self.items[0])
        self.status_lengths, self.end_lengths = _lengths(self.statuses), _lengths(self.ends)


def _block(
    day: date, numbers: Draws, *, count: int, customers: int, pieces: _Pieces, random: np.random.Generator
) -> Iterator[bytes]:
    size = len(numbers)
    moments = _moments(day, numbers, count, random)
    items, item_lengths, cents = _items(pieces, size, random)
    whose, has_customer = _customers(customers, size, random)
    status = np.where(
        random.random(size) < NULL_STATUS,
        len(STATUSES),
        random.choice(len(STATUSES), size=size, p=list(STATUSES.values())),
    )
    has_total = random.random(size) >= NULL_TOTAL
    end = random.integers(len(pieces.ends), size=size)

    totals = _column({"total": Decimal128("0.00")}, size)
    _write(totals, 7, cents, "<i8")
    created = _column({"created_at": datetime(2000, 1, 1)}, size, after=b"\0")  # noqa: DTZ001
    _write(created, 12, moments + _delays(size, random), "<i8")
    array = _column({"items": []}, size, drop=1)
    _write(array, 7, item_lengths + 5, "<i4")
    customer, total = _optional(whose, has_customer), _optional(totals, has_total, _elements({"total": None}))
    heads = _heads(day, numbers, moments)
    length = heads.shape[1] + array.shape[1] + created.shape[1] + item_lengths
    length = length + np.where(has_customer, whose.shape[1], 0) + np.where(has_total, totals.shape[1], 7)
    length = length + pieces.status_lengths[status] + pieces.end_lengths[end]
    _write(heads, 0, length, "<i4")
    columns = (
        _rows(heads),
        customer,
        _pick(pieces.statuses, status),
        total,
        _rows(array),
        *(_pick(pieces.items[n], items[:, n]) for n in range(_MOST_ITEMS)),
        _pick(pieces.ends, end),
        _rows(created),
    )
    return map(b"".join, zip(*columns, strict=True))


def _heads(day: date, numbers: Draws, moments: Draws) -> NDArray[np.uint8]:
    """Length (to be written), _id, transaction_id and transaction_date."""
    text = f"TXN-{day:%Y%m%d}-{0:08d}"
    first = {"_id": ObjectId(bytes(12)), "transaction_id": text, "transaction_date": datetime(2000, 1, 1)}  # noqa: DTZ001
    heads = _column(first, len(numbers), before=bytes(4))
    _write(heads, 9, moments // 1000, ">u4")
    heads[:, 13:18] = np.frombuffer(_machine("transactions"), np.uint8)
    _write(heads, 17, numbers % 2**24, ">u4", bytes_from=1)
    digits = 21 + len(b"\x02transaction_id\0") + 4 + len(text) - 8
    _write_digits(heads, digits, numbers + 1, 8)
    _write(heads, heads.shape[1] - 8, moments, "<i8")
    return heads


def _moments(day: date, numbers: Draws, count: int, random: np.random.Generator) -> Draws:
    """UTC milliseconds, rising with the number, more of them in busy hours."""
    shares = np.concatenate([[0.0], np.cumsum(_HOURS) / sum(_HOURS)])
    hours = np.interp((numbers + random.random(len(numbers))) / count, shares, np.arange(25))
    inside = np.minimum((hours * 3_600_000).astype(np.int64), _DAY_MS - 1)
    return (day.toordinal() - _EPOCH) * _DAY_MS + inside


def _delays(size: int, random: np.random.Generator) -> Draws:
    """Milliseconds until a transaction is stored: under two seconds, or hours where it is late."""
    late = random.random(size) < LATE
    return np.where(late, random.integers(3_600_000, 72 * 3_600_000, size), random.integers(5, 2_000, size))


def _items(pieces: _Pieces, size: int, random: np.random.Generator) -> tuple[Draws, Draws, Draws]:
    """Numbers of item pieces (one row per transaction), the bytes they take, and their sum in cents."""
    wanted = random.choice(_MOST_ITEMS, size=size, p=[0.42, 0.27, 0.16, 0.1, 0.05]) + 1
    product = (random.random((size, _MOST_ITEMS)) ** 2 * len(pieces.cents)).astype(np.int64)
    quantity = random.choice(_MOST_OF_ONE, size=(size, _MOST_ITEMS), p=[0.7, 0.2, 0.07, 0.03])
    used = np.arange(_MOST_ITEMS) < wanted[:, None]
    codes = np.where(used, product * _MOST_OF_ONE + quantity, len(pieces.item_lengths) - 1)
    cents = np.where(used, pieces.cents[product] * (quantity + 1), 0).sum(axis=1)
    return codes, pieces.item_lengths[codes].sum(axis=1), cents


def _customers(
    customers: int, size: int, random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The customer_id elements (some customers buy far more than others), and which rows have one."""
    number = (random.random(size) ** 2 * customers).astype(np.int64) + 1
    orphan = random.random(size) < ORPHAN
    number = np.where(orphan, random.integers(_FIRST_ORPHAN, 10_000_000, size), number)
    column = _column({"customer_id": "C0000000"}, size)
    _write_digits(column, column.shape[1] - 8, number, 7)
    return column, random.random(size) >= MISSING_CUSTOMER


def _elements(document: Mapping[str, Any]) -> bytes:
    """The elements of an encoded document, without its length and its end."""
    return bson.encode(document)[4:-1]


def _column(
    document: Mapping[str, Any], size: int, *, before: bytes = b"", after: bytes = b"", drop: int = 0
) -> NDArray[np.uint8]:
    """The document's elements, once per row, to be written into."""
    encoded = _elements(document)
    row = np.frombuffer(before + encoded[: len(encoded) - drop] + after, np.uint8)
    return np.tile(row, (size, 1))


def _write(column: NDArray[np.uint8], offset: int, values: Draws, kind: str, *, bytes_from: int = 0) -> None:
    raw = values.astype(kind).view(np.uint8).reshape(len(values), -1)[:, bytes_from:]
    start = offset + bytes_from
    column[:, start : start + raw.shape[1]] = raw


def _write_digits(column: NDArray[np.uint8], offset: int, values: Draws, width: int) -> None:
    for place in range(width):
        column[:, offset + place] = values // 10 ** (width - 1 - place) % 10 + ord("0")


def _rows(column: NDArray[np.uint8]) -> list[bytes]:
    rows: list[bytes] = column.view(f"V{column.shape[1]}").ravel().tolist()
    return rows


def _optional(column: NDArray[np.uint8], there: NDArray[np.bool_], instead: bytes = b"") -> list[bytes]:
    rows = _rows(column)
    for index in np.flatnonzero(~there).tolist():
        rows[index] = instead
    return rows


def _pick(pieces: Sequence[bytes], numbers: Draws) -> list[bytes]:
    return [pieces[number] for number in numbers.tolist()]


def _lengths(pieces: Sequence[bytes]) -> Draws:
    return np.array([len(piece) for piece in pieces])


def _random(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _machine(collection: str) -> bytes:
    return hashlib.sha256(collection.encode()).digest()[:5]


def _object_id(collection: str, number: int) -> ObjectId:
    return ObjectId(bytes(4) + _machine(collection) + number.to_bytes(3, "big"))


def fill(
    database: Database[Document],
    *,
    transactions_per_day: int,
    days: Sequence[date],
    customers: int,
    products: int,
    seed: int,
) -> dict[str, int]:
    """Fill `customers`, `products` and the given days of `transactions`; filling again gives the same.

    Returns:
        Documents written per collection.
    """
    if customers >= _FIRST_ORPHAN:
        raise ValueError(f"up to {_FIRST_ORPHAN - 1} customers: numbers above are for orphans")
    catalogue = make_products(products, seed)
    people = list(make_customers(customers, seed))
    for name, documents in (("products", [p.document() for p in catalogue]), ("customers", people)):
        database[name].delete_many({})
        _insert(database, name, (documents[n : n + _BLOCK] for n in range(0, len(documents), _BLOCK)))
    written = 0
    for day in days:
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        within = {"$gte": start, "$lt": start + timedelta(days=1)}
        database["transactions"].delete_many({"transaction_date": within})
        blocks = make_transactions(
            day, transactions_per_day, customers=customers, products=catalogue, seed=seed
        )
        written += _insert(database, "transactions", blocks)
    _index(database)
    return {"customers": customers, "products": products, "transactions": written}


def _insert(database: Database[Document], collection: str, blocks: Iterable[Sequence[Any]]) -> int:
    """Insert blocks while the next ones are made."""

    def send(block: Sequence[Any]) -> int:
        command = {"insert": collection, "documents": list(block), "ordered": False, "writeConcern": {"w": 1}}
        reply = database.command(command)
        if reply["n"] != len(block):
            raise RuntimeError(f"{collection}: {reply['n']} of {len(block)} inserted: {reply}")
        return len(block)

    written, waiting = 0, deque[Future[int]]()
    with ThreadPoolExecutor(2) as pool:
        for block in blocks:
            waiting.append(pool.submit(send, block))
            if len(waiting) > 3:
                written += waiting.popleft().result()
        return written + sum(future.result() for future in waiting)


def _index(database: Database[Document]) -> None:
    # After the documents: building an index once costs less than keeping it up with every insert.
    database["transactions"].create_index("transaction_date")
    database["transactions"].create_index("transaction_id", unique=True)
    database["transactions"].create_index("customer_id")
    database["customers"].create_index("customer_id", unique=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Fill a database with the shop's data.")
    parser.add_argument("--uri", default="mongodb://127.0.0.1:27017")
    parser.add_argument("--database", default="shop")
    parser.add_argument("--transactions", type=int, default=20_000, help="per day")
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--end", type=date.fromisoformat, help="the day after the last one (default: today)")
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--products", type=int, default=500)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(arguments)
    end = options.end or datetime.now(UTC).date()
    started = time.perf_counter()
    with MongoClient[Document](options.uri) as client:
        counts = fill(
            client[options.database],
            transactions_per_day=options.transactions,
            days=[end - timedelta(days=back) for back in range(options.days, 0, -1)],
            customers=options.customers,
            products=options.products,
            seed=options.seed,
        )
    seconds = time.perf_counter() - started
    json.dump({**counts, "seconds": round(seconds, 2)}, sys.stdout)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
