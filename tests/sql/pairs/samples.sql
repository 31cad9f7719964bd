-- The table that the pairs ask. On MongoDB a NULL is an absent field where id is even.
create table samples (
  id integer, i integer, b bigint, d double, n decimal(15, 2), s varchar, f boolean,
  ts timestamp, dt date, l integer[], st struct(a integer, b varchar)
);
insert into samples values
  (1, 7, 3, 2.5, 1.25, 'héllo', true,
   '2024-02-29 13:14:15.123', '2024-02-29', [3, 1, null, 2], {'a': 1, 'b': 'x'}),
  (2, null, null, null, null, null, null, null, null, null, null),
  (3, 0, -5, 'nan', -2.35, '', false, '1969-12-31 23:59:59.999', '1969-12-31', [], {'a': null, 'b': null}),
  (4, -3, 1099511627776, -0.0, 100, 'Straße 👍🏽 %_x', true, '2023-01-01', '2023-01-01', [5, 5], {'a': 7, 'b': 'ü'}),
  (5, 2, 2, '-infinity', 0.05, 'a,b,,c', false, '2024-12-30 08:05:07', '2024-12-30', [-1], {'a': -1, 'b': ''}),
  (6, 100, 1, 1e20, 7, '  7.5 ', null, '2000-01-01 12:00:00', '2000-01-01', [1, 2, 3, 4], {'a': 3, 'b': 'a b'}),
  (7, null, null, null, null, null, null, null, null, null, null);
