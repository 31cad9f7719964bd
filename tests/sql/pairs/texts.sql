-- UPPER and LOWER know Unicode
select upper(s), lower(s) from samples order by id
----
HÉLLO | héllo
NULL | NULL
 | 
STRAẞE 👍🏽 %_X | straße 👍🏽 %_x
A,B,,C | a,b,,c
  7.5  |   7.5 
NULL | NULL

-- lengths count characters
select length(s), strlen(s) from samples order by id
----
5 | 6
NULL | NULL
0 | 0
13 | 20
6 | 6
6 | 6
NULL | NULL

-- SUBSTRING from the front and from the end
select substring(s, 2, 3), substring(s, -2), substring(s, 2), s[1], s[2:3] from samples order by id
----
éll | lo | éllo | h | él
NULL | NULL | NULL | NULL | NULL
 |  |  |  | 
tra | _x | traße 👍🏽 %_x | S | tr
,b, | ,c | ,b,,c | a | ,b
 7. | 5  |  7.5  |   |  7
NULL | NULL | NULL | NULL | NULL

-- LEFT and RIGHT
select left(s, 2), right(s, 2), left(s, -2), right(s, -2) from samples order by id
----
hé | lo | hél | llo
NULL | NULL | NULL | NULL
 |  |  | 
St | _x | Straße 👍🏽 % | raße 👍🏽 %_x
a, | ,c | a,b, | b,,c
   | 5  |   7. | 7.5 
NULL | NULL | NULL | NULL

-- TRIM takes spaces, or given letters
select '<' || trim(s) || '>', ltrim('xya', 'xy'), rtrim('a  ') from samples order by id
----
<héllo> | a | a
NULL | a | a
<> | a | a
<Straße 👍🏽 %_x> | a | a
<a,b,,c> | a | a
<7.5> | a | a
NULL | a | a

-- || and CONCAT differ on NULL
select s || '!', concat(s, '!', i) from samples order by id
----
héllo! | héllo!7
NULL | !
! | !0
Straße 👍🏽 %_x! | Straße 👍🏽 %_x!-3
a,b,,c! | a,b,,c!2
  7.5 ! |   7.5 !100
NULL | !

-- CONCAT_WS leaves NULL out
select id, concat_ws('-', s, i, f) from samples order by id
----
1 | héllo-7-true
2 | 
3 | -0-false
4 | Straße 👍🏽 %_x--3-true
5 | a,b,,c-2-false
6 |   7.5 -100
7 | 

-- REPLACE, REPEAT and REVERSE
select replace(s, 'l', 'L'), repeat('ab', 2), reverse('abc') from samples order by id
----
héLLo | abab | cba
NULL | abab | cba
 | abab | cba
Straße 👍🏽 %_x | abab | cba
a,b,,c | abab | cba
  7.5  | abab | cba
NULL | abab | cba

-- LPAD and RPAD pad and cut
select lpad(s, 7, '*'), rpad(s, 3, '.') from samples order by id
----
**héllo | hél
NULL | NULL
******* | ...
Straße  | Str
*a,b,,c | a,b
*  7.5  |   7
NULL | NULL

-- finding a part
select strpos(s, 'l'), contains(s, 'l'), starts_with(s, 'a'), ends_with(s, 'c') from samples order by id
----
3 | true | false | false
NULL | NULL | NULL | NULL
0 | false | false | false
0 | false | false | false
0 | false | true | true
0 | false | false | false
NULL | NULL | NULL | NULL

-- SPLIT and SPLIT_PART
select string_split(s, ','), split_part(s, ',', 2), split_part(s, ',', -1) from samples order by id
----
[héllo] |  | héllo
NULL | NULL | NULL
[] |  | 
[Straße 👍🏽 %_x] |  | Straße 👍🏽 %_x
[a, b, , c] | b | c
[  7.5 ] |  |   7.5 
NULL | NULL | NULL

-- code points
select ascii('a'), unicode('é'), chr(233) from samples order by id
----
97 | 233 | é
97 | 233 | é
97 | 233 | é
97 | 233 | é
97 | 233 | é
97 | 233 | é
97 | 233 | é

-- MD5
select md5(s) from samples order by id
----
be50e8478cf24ff3595bc7307fb91b50
NULL
d41d8cd98f00b204e9800998ecf8427e
faa2842d25f5b81df472a1d7afa2a32c
e25525e3d41f57be29ab0ecf3365ba14
d6ce3c318a8ea4443cb4e0b3155558d3
NULL

-- TRANSLATE
select translate(s, 'lh', 'L') from samples order by id
----
éLLo
NULL

Straße 👍🏽 %_x
a,b,,c
  7.5 
NULL

-- letters with marks are turned one by one
--! differs: REVERSE turns code points, not what they look like
select reverse('éa') from samples order by id
----
áe
áe
áe
áe
áe
áe
áe
