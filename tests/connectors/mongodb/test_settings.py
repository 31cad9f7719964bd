from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from levada.connectors.base import Table
from levada.connectors.mongodb import MongoConnection, MongoSettings
from levada.connectors.mongodb.client import at_node
from levada.connectors.mongodb.settings import masked
from levada.errors import ConfigError

pytestmark = pytest.mark.unit
SECRET = "geheim"


def connection(**settings: object) -> MongoConnection:
    return MongoConnection("shop", MongoSettings.model_validate(settings), Path())


@pytest.mark.parametrize(
    "settings",
    [
        {"uri": f"mongodb://ana:{SECRET}@db1,db2/shop?replicaSet=rs"},
        {"uri": "mongodb://db1/shop", "username": "ana", "password": SECRET},
    ],
)
def test_never_shows_the_password(settings: dict[str, object]) -> None:
    shop = connection(**settings)
    shown = repr(shop) + repr(shop.settings) + str(shop.settings) + shop.describe()
    assert SECRET not in shown
    assert SECRET not in shop.settings.model_dump_json()


def test_masks_the_password_only() -> None:
    assert masked("mongodb://ana:p%40ss@a:1,b:2/x?w=1") == "mongodb://ana:***@a:1,b:2/x?w=1"
    assert masked("mongodb://a:1/x") == "mongodb://a:1/x"
    assert masked("embedded") == "embedded"


@pytest.mark.parametrize(
    "wrong",
    [
        {"uri": "postgres://x"},
        {"uri": "mongodb://x", "databse": "shop"},
        {"uri": "embedded", "password": SECRET},
        {"uri": "mongodb://x", "read_preference": "closest"},
        {"uri": "mongodb://x", "compressors": ["rar"]},
        {"uri": "mongodb://x", "server_selection_timeout": 0},
    ],
)
def test_refuses_what_it_does_not_know(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        MongoSettings.model_validate(wrong)
    assert SECRET not in str(caught.value)


def test_becomes_client_options() -> None:
    settings = MongoSettings.model_validate(
        {"uri": "mongodb://x", "username": "ana", "password": SECRET, "compressors": ["zstd", "zlib"]}
        | {"read_concern": "majority", "read_preference": "nearest", "socket_timeout": 1.5, "tls": True}
    )
    assert settings.options() == {
        "username": "ana",
        "password": SECRET,
        "tls": True,
        "readPreference": "nearest",
        "readConcernLevel": "majority",
        "w": "majority",
        "appname": "levada",
        "serverSelectionTimeoutMS": 10_000,
        "connectTimeoutMS": 10_000,
        "socketTimeoutMS": 1_500,
        "compressors": "zstd,zlib",
    }


@pytest.mark.parametrize(
    ("settings", "name", "namespace"),
    [
        ({"uri": "mongodb://x/shop"}, "orders", ("shop", "orders")),
        ({"uri": "mongodb://x/shop?w=1", "database": "other"}, "orders", ("other", "orders")),
        ({"uri": "mongodb://x/shop"}, "crm.people", ("crm", "people")),
        ({"uri": "mongodb://x/shop"}, "crm.people.old", ("crm", "people.old")),
        ({"uri": "embedded", "database": "shop"}, "orders", ("shop", "orders")),
    ],
)
def test_finds_database_and_collection(
    settings: dict[str, object], name: str, namespace: tuple[str, str]
) -> None:
    assert connection(**settings).namespace(Table("shop", name)) == namespace


def test_says_how_to_name_a_database() -> None:
    with pytest.raises(ConfigError, match="has no database"):
        connection(uri="mongodb://x:1/?w=1").namespace(Table("shop", "orders"))


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mongodb://a:p%40s@h1,h2:3/d?replicaSet=r&w=1", "mongodb://a:p%40s@h9:7/d?w=1"),
        ("mongodb://h1/?directConnection=true", "mongodb://h9:7/?"),
        ("mongodb://h1", "mongodb://h9:7/?"),
    ],
)
def test_addresses_one_server_of_a_deployment(uri: str, expected: str) -> None:
    assert at_node(uri, "h9", 7) == expected
