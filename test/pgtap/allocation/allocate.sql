-- Exact allocation.
begin;
select plan(18);

select is(
  app_public.allocate(100, array[1, 1, 1]),
  array[34, 33, 33]::app_public.amount[], 'what is left goes to the first where remainders are equal');
select is(
  app_public.allocate(5, array[0.5, 0.25, 0.25]),
  array[3, 1, 1]::app_public.amount[], 'and to the largest remainder');
select is(
  app_public.allocate(-100, array[1, 1, 1]),
  array[-34, -33, -33]::app_public.amount[], 'a negative amount splits like a positive one');
select is(app_public.allocate(7, array[0, 1, 0]), array[0, 7, 0]::app_public.amount[], 'a ratio of zero gets nothing');
select is(app_public.allocate(0, array[1, 2]), array[0, 0]::app_public.amount[], 'zero splits into zeros');
select is(
  app_public.allocate(1, array[1e-30, 1e30]),
  array[0, 1]::app_public.amount[], 'far apart ratios lose nothing');
select is(
  app_public.allocate(99999999999999999999999999999999999999, array[1, 2]),
  array[33333333333333333333333333333333333333, 66666666666666666666666666666666666666]::app_public.amount[],
  'the largest amount splits exactly');
select throws_ok(
  format('select app_public.allocate(1, %L::numeric[])', r.ratios),
  'LG141', null, format('ratios %s are refused', r.ratios))
from unnest(array['{}', '{0,0}', '{-1,2}', '{NULL,1}', '{NaN}', '{Infinity}', '{{1,2},{3,4}}']) as r (ratios);

-- Properties, over many random cases.
create temp table c on commit drop as
select n, amount, ratios, app_public.allocate(amount, ratios) as shares
from (
  select n, trunc((random() - 0.5) * 10 ^ (n % 20))::numeric as amount, (
    select array_agg(
      case when random() < 0.2 then 0 else round((random() * 1000 + 0 * k)::numeric, n % 5) end
    ) || 1::numeric
    from generate_series(1, 1 + n % 9) k
  ) as ratios
  from generate_series(1, 3000) n
) r;
select is_empty(
  'select from c where (select sum(s::numeric) from unnest(shares) s) <> amount', 'shares always sum to the amount');
select is_empty(
  'select from c, unnest(ratios, shares) as u (ratio, share)
   where abs(share * (select sum(r) from unnest(ratios) r) - amount * ratio) >= (select sum(r) from unnest(ratios) r)',
  'a share is always within one unit of the exact one');
-- Turning the ratios round can only move single units between equal remainders.
select is_empty(
  'select from c
   where (select array_agg(s::numeric order by s) from unnest(shares) s)
     is distinct from (select array_agg(s::numeric order by s) from unnest(app_public.allocate(amount,
       (select array_agg(r order by n desc) from unnest(ratios) with ordinality as u (r, n)))) s)
     and (select count(distinct r) from unnest(ratios) r) = cardinality(ratios)
     and not exists (
       select from unnest(ratios) as r
       group by mod(abs(amount) * r, (select sum(x) from unnest(ratios) x)) having count(*) > 1)',
  'the order of the ratios decides nothing but ties');
select is_empty(
  'select from c where shares is distinct from app_public.allocate(amount, ratios)',
  'the same question has the same answer');
select * from finish();
rollback;
