-- IS_MISSING tells an absent field from a null
--! differs: MongoDB alone knows
select id, is_missing(i), i is null from samples where id in (1, 2, 7) order by id
----
1 | false | false
2 | true | true
7 | false | true

-- BSON_TYPE names what is stored
--! differs: MongoDB alone knows
select id, bson_type(d), bson_type(n), bson_type(l) from samples where id in (1, 2, 7) order by id
----
1 | double | decimal | array
2 | missing | missing | missing
7 | null | null | null
