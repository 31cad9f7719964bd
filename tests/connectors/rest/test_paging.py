"""Every style of paging gives every row once; what can't be followed to its end is an error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from levada.errors import Fatal, Retriable

from ...rest_server import Api, Fault, running  # noqa: TID252
from .conftest import Open, ids, read

STYLES: dict[str, dict[str, Any]] = {
    "single": {"path": "/list", "paginator": "single"},
    "offset": {"path": "/offset", "data": "data.items", "paginator": {"type": "offset", "limit": 10}},
    "offset with total": {
        "path": "/offset",
        "data": "data.items",
        "paginator": {"type": "offset", "limit": 10, "total": "total"},
    },
    "offset with overlap": {
        "path": "/offset",
        "data": "data.items",
        "key": "id",
        "paginator": {"type": "offset", "limit": 10, "overlap": 3},
    },
    "offset with overlap and total": {
        "path": "/offset",
        "data": "data.items",
        "key": "id",
        "paginator": {"type": "offset", "limit": 10, "overlap": 1, "total": "total"},
    },
    "offset in the body": {
        "path": "/offset",
        "method": "POST",
        "data": "data.items",
        "paginator": {"type": "offset", "limit": 10, "body": "offset", "limit_body": "limit"},
    },
    "page number": {"path": "/numbered", "data": "items", "paginator": "page_number"},
    "page number with total": {
        "path": "/numbered",
        "data": "items",
        "paginator": {"type": "page_number", "total": "pages"},
    },
    "page number with more": {
        "path": "/numbered",
        "data": "items",
        "paginator": {"type": "page_number", "more": "more"},
    },
    "cursor": {"path": "/cursor", "data": "items", "paginator": {"type": "cursor", "next": "next"}},
    "cursor in the body": {
        "path": "/cursor",
        "method": "POST",
        "json": {"q": "all"},
        "data": "items",
        "paginator": {"type": "cursor", "next": "next", "body": "cursor"},
    },
    "cursor in a header": {
        "path": "/cursor",
        "data": "items",
        "paginator": {"type": "cursor", "header": "Next-Cursor"},
    },
    "cursor that is the last id": {
        "path": "/after_id",
        "data": "data",
        "paginator": {"type": "cursor", "next": "data[-1].id", "param": "starting_after", "more": "has_more"},
    },
    "json link": {
        "path": "/json_link",
        "data": "items",
        "paginator": {"type": "json_link", "next": "links.next"},
    },
    "header link": {"path": "/header_link", "paginator": "header_link"},
    "auto, by the Link header": {"path": "/header_link", "paginator": "auto"},
    "auto, by a link in the page": {"path": "/json_link", "data": "items", "paginator": "auto"},
    "auto, by a cursor": {"path": "/cursor", "data": "items", "paginator": "auto"},
}


def fill(api: Api, count: int) -> None:
    api.add(*({"id": number, "name": f"n{number}"} for number in range(count)))


@pytest.mark.parametrize("count", [0, 1, 10, 11, 35])
@pytest.mark.parametrize("style", STYLES)
def test_every_row_is_read_once(api: Api, opened: Open, style: str, count: int) -> None:
    fill(api, count)
    assert ids(read(opened(STYLES[style]))) == list(range(count))


@pytest.mark.parametrize("style", ["page number with total", "cursor", "cursor in the body", "json link"])
def test_an_empty_page_in_between_does_not_end_the_read(api: Api, opened: Open, style: str) -> None:
    fill(api, 35)

    def emptied(text: str) -> str:
        page = json.loads(text)
        return json.dumps({**page, "items": []})

    api.faults = [None, Fault(text=emptied)]
    assert ids(read(opened(STYLES[style]))) == [*range(10), *range(20, 35)]


def circle(api: Api, opened: Open, resource: dict[str, Any], text: Any, **settings: Any) -> Fatal:
    fill(api, 35)
    api.faults = [Fault(text=text)] * 50
    with pytest.raises(Fatal) as caught:
        read(opened(resource, **settings))
    assert len(api.asked) < 20
    return caught.value


def test_a_cursor_that_comes_again_is_an_error(api: Api, opened: Open) -> None:
    error = circle(api, opened, STYLES["cursor"], lambda text: text.replace('"next": "c30"', '"next": "c10"'))
    assert "circle" in str(error)
    assert error.where == "api.t"


def test_a_link_that_comes_again_is_an_error(api: Api, opened: Open) -> None:
    error = circle(api, opened, STYLES["json link"], lambda text: text.replace("at=30", "at=10"))
    assert "circle" in str(error)


def test_a_server_that_ignores_the_page_number_is_found_out(api: Api, opened: Open) -> None:
    resource = {**STYLES["page number"], "paginator": {"type": "page_number", "param": "p"}}
    error = circle(api, opened, resource, None)
    assert "page 2 is the one before it again" in str(error)


def test_too_many_pages_are_an_error(api: Api, opened: Open) -> None:
    error = circle(api, opened, STYLES["page number"], None, max_pages=2)
    assert "more than 2 pages" in str(error)


def test_as_many_pages_as_allowed_are_read(api: Api, opened: Open) -> None:
    fill(api, 20)
    assert ids(read(opened(STYLES["page number with total"], max_pages=2))) == list(range(20))


def test_a_server_that_gives_less_than_the_limit_leaves_no_gap_unnoticed(api: Api, opened: Open) -> None:
    fill(api, 35)
    resource = {**STYLES["offset"], "paginator": {"type": "offset", "limit": 20}}
    with pytest.raises(Fatal, match="10 rows where `limit` is 20"):
        read(opened(resource))


def test_a_server_that_does_not_know_the_limit_is_found_out(api: Api, opened: Open) -> None:
    fill(api, 35)
    resource = {**STYLES["offset"], "paginator": {"type": "offset", "limit": 5, "limit_param": "size"}}
    with pytest.raises(Fatal, match="a page has 10 rows where `limit` is 5"):
        read(opened(resource))


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("offset with total", lambda text: text.replace('"total"', '"count"')),
        ("page number with more", lambda text: text.replace('"more": true', '"more": 7')),
        ("json link", lambda text: text.replace('"next": "http', '"next": ["http').replace('"}}', '"]}}')),
    ],
)
def test_a_page_that_does_not_say_how_to_go_on_is_an_error(
    api: Api, opened: Open, style: str, text: Any
) -> None:
    error = circle(api, opened, STYLES[style], text)
    assert "n34" not in str(error)
    assert "n1" not in str(error)


def test_a_page_that_promises_more_without_a_cursor_is_an_error(api: Api, opened: Open) -> None:
    api.faults = [Fault(body='{"data": [], "has_more": true}')]
    with pytest.raises(Fatal, match="says that there is more, but has no cursor"):
        read(opened(STYLES["cursor that is the last id"]))


@pytest.mark.parametrize("there", ["items", "data.rows", "data[*].item"])
def test_a_page_without_its_rows_is_an_error_that_names_the_path(api: Api, opened: Open, there: str) -> None:
    api.faults = [Fault(body='{"error": "try later"}')]
    with pytest.raises(Fatal) as caught:
        read(opened({"path": "/cursor", "data": there, "paginator": {"type": "cursor", "next": "next"}}))
    assert f"nothing at {there!r}" in str(caught.value)
    assert "'error'" in str(caught.value)


def test_a_page_that_is_no_list_needs_a_path(api: Api, opened: Open) -> None:
    fill(api, 1)
    with pytest.raises(Fatal, match=r"no list of rows.*set `data:`.*'items'"):
        read(opened({"path": "/cursor", "paginator": {"type": "cursor", "next": "next"}}))


@pytest.mark.parametrize(
    ("data", "body", "expected"),
    [
        ("$", '{"id": 1}', [1]),
        ("items", '{"items": null}', []),
        ("items", '{"items": {"id": 3}}', [3]),
        ("a.b-c.d", '{"a": {"b-c": {"d": [{"id": 4}]}}}', [4]),
        ("edges[*].node", '{"edges": [{"node": {"id": 1}}, {"node": {"id": 2}}]}', [1, 2]),
        ("edges[*].node", '{"edges": []}', []),
        (None, "[]", []),
    ],
)
def test_rows_are_found_at_their_path(
    api: Api, opened: Open, data: str | None, body: str, expected: list[int]
) -> None:
    api.faults = [Fault(body=body)]
    assert ids(read(opened({"path": "/list", "data": data, "paginator": "single"}))) == expected


def test_no_content_is_no_rows(api: Api, opened: Open) -> None:
    api.faults = [Fault(status=204)]
    assert read(opened(STYLES["single"])) == []


@pytest.mark.parametrize("empty", ['""', "null"])
def test_an_empty_link_is_the_end(api: Api, opened: Open, empty: str) -> None:
    api.faults = [Fault(body=f'{{"items": [{{"id": 1}}], "links": {{"next": {empty}}}}}')]
    assert ids(read(opened(STYLES["json link"]))) == [1]


def test_a_link_to_another_host_is_refused_before_it_gets_the_credentials(api: Api, opened: Open) -> None:
    fill(api, 15)
    with running() as other:
        fill(other, 15)
        move = Fault(text=lambda text: text.replace(api.url, other.url))
        api.faults = [move]
        auth = {"type": "bearer", "token": "hidden"}
        with pytest.raises(Fatal, match="would get the credentials"):
            read(opened(STYLES["json link"], auth=auth))
        assert other.asked == []
        api.faults = [move]
        allowed = other.url.removeprefix("http://")
        assert ids(read(opened(STYLES["json link"], auth=auth, allowed_hosts=[allowed]))) == list(range(15))
        assert other.asked[0].headers["Authorization"] == "Bearer hidden"


def test_a_relative_link_is_followed(api: Api, opened: Open) -> None:
    fill(api, 15)
    api.faults = [Fault(text=lambda text: text.replace(api.url, ""))]
    assert ids(read(opened(STYLES["json link"]))) == list(range(15))


@pytest.mark.parametrize("removed", [1, 2, 3])
def test_rows_that_move_to_earlier_pages_are_read_or_the_read_fails(
    api: Api, opened: Open, removed: int
) -> None:
    """Three rows overlap: a removal of fewer leaves one that is known, a removal of three leaves none."""
    fill(api, 40)

    def remove(page: int) -> None:
        if page == 3:
            del api.rows[:removed]

    api.before_page = remove
    connection = opened(STYLES["offset with overlap"])
    if removed < 3:
        assert ids(read(connection)) == list(range(40))
        return
    with pytest.raises(Retriable, match="rows moved to earlier pages"):
        read(connection)


def test_parameters_of_the_resource_go_with_every_page(api: Api, opened: Open) -> None:
    fill(api, 25)
    read(opened({**STYLES["page number"], "params": {"expand": "lines", "status": ["a", "b"]}}))
    assert {asked.query["expand"] for asked in api.asked} == {"lines"}


def test_rows_that_move_to_later_pages_are_neither_lost_nor_doubled(api: Api, opened: Open) -> None:
    api.newest_first = True
    fill(api, 40)

    def insert(page: int) -> None:
        api.add({"id": 1000 + page, "name": "new"})

    api.before_page = insert
    resource = {**STYLES["page number"], "key": "id"}
    found = ids(read(opened(resource)))
    assert sorted(found) == sorted(set(found))
    assert set(range(40)) <= set(found)
