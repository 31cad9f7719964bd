"""Services that tests share. Without a service a test is skipped with the reason; with CI=true it fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient

from levada.connectors.mongodb.embedded import EmbeddedServer, find_mongod
from levada.errors import ConfigError

from . import mysql
from . import postgres as postgres_server
from . import s3 as s3_server
from .lacking import lacking


@pytest.fixture(scope="session")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URI of one mongod (a one-member replica set) that all workers of this test run share."""
    try:
        find_mongod()
    except ConfigError as error:
        lacking(str(error))
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    server = EmbeddedServer(root, cache_gb=1.0)
    yield server.join()
    server.leave()


@pytest.fixture(scope="session")
def mongo(mongod: str) -> Iterator[MongoClient[dict[str, Any]]]:
    """A plain client of the shared mongod, for preparing and looking at data."""
    with MongoClient(mongod, tz_aware=True) as client:
        yield client


@pytest.fixture
def database(mongo: MongoClient[dict[str, Any]]) -> Iterator[str]:
    """Name of a fresh database on the shared mongod, dropped afterwards."""
    name = f"test_{uuid4().hex[:12]}"
    yield name
    mongo.drop_database(name)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.S3]:
    """An S3 server of this worker's own, with one bucket and one key."""
    if reason := s3_server.missing():
        lacking(reason)
    with s3_server.running(tmp_path_factory.mktemp("s3") / "log") as server:
        yield server


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mysql.MariaDB]:
    """One MariaDB server that all workers of this test run share."""
    if reason := mysql.missing():
        lacking(reason)
    root = tmp_path_factory.getbasetemp()
    with mysql.shared(root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) as server:
        yield server


@pytest.fixture
def legacy(mariadb: mysql.MariaDB) -> Iterator[mysql.MariaDB]:
    """A fresh database on the shared MariaDB server, dropped afterwards."""
    name = f"legacy_{uuid4().hex[:12]}"
    mariadb.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield replace(mariadb, database=name)
    mariadb.run(f"DROP DATABASE {name}")


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres_server.Postgres]:
    """One PostgreSQL server that all workers of this test run share."""
    if reason := postgres_server.missing():
        lacking(reason)
    root = tmp_path_factory.getbasetemp()
    with postgres_server.shared(root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) as server:
        yield server


@pytest.fixture
def schema(postgres: postgres_server.Postgres) -> Iterator[str]:
    """Name of a fresh schema on the shared PostgreSQL server, dropped afterwards."""
    with postgres.schema() as name:
        yield name
