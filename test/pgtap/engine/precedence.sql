-- Of several faults the first in a fixed order is told. Each row lacks the fault that the row before was
-- refused for.
begin;
select plan(35);

select tests.make_books('acme');
select tests.open_account('acme', 'closed', 'asset');
select tests.open_account('acme', 'frozen', 'asset');
select tests.open_account('acme', 'capped', 'asset', maximum_balance => 10);
select tests.open_account('acme', 'brim', 'asset');
select tests.post('acme', 'brim', 'equity', 1e38 - 200000);
create temp table made (name text primary key, id uuid);
insert into made values
  ('open', tests.post('acme', 'cash', 'frozen', 10, 'EUR', 'pending')),
  ('posted', tests.post('acme', 'cash', 'rent', 10)),
  ('reversed', tests.post('acme', 'cash', 'frozen', 10)),
  ('used', tests.post('acme', 'cash', 'rent', 10, idempotency_key => 'used'));
insert into made values
  ('voided', tests.post('acme', 'cash', 'frozen', 10, 'EUR', 'pending')),
  ('reversal',
    tests.post_item('acme', tests.item(reverses_id => (select id from made where name = 'reversed'))));
select tests.post_item('acme',
  tests.item('void_pending', pending_id => (select id from made where name = 'voided')));
update app_public.accounts set status = 'closed', closed_at = now() where id = tests.account('acme', 'closed');
update app_public.accounts set status = 'frozen' where id = tests.account('acme', 'frozen');
insert into app_public.accounting_periods (tenant_id, name, during, closed_at)
values (tests.tenant('acme'), '2023', '[2023-01-01, 2024-01-01)', now());

create function pg_temp.made(name text)
returns uuid
language sql
as $$
  select m.id from made m where m.name = made.name
$$;

create function pg_temp.line(code text, direction app_public.direction, amount numeric)
returns app_public.posting_input[]
language sql
as $$
  select tests.line(coalesce(tests.account('acme', code), '01900000-0000-7000-8000-000000000000'), direction,
    amount)
$$;

create function pg_temp.unmet()
returns app_public.condition_input[]
language sql
as $$
  select tests.condition(tests.account('acme', 'cash'), version => 0)
$$;

create temp table cases (n integer generated always as identity, expected text,
  item app_public.transaction_input);

-- Shape
insert into cases (expected, item)
select r.expected, tests.item(
  'posted', tests.line(null, 'debit', -1), r.key, r.at, r.seconds, r.pending, null, r.description,
    r.metadata::jsonb)
from (values
  ('LG105', '', '', '[]', 'infinity'::timestamptz, 5, uuidv7()),
  ('LG106', 'used', '', '[]', 'infinity', 5, uuidv7()),
  ('LG107', 'used', 'd', '[]', 'infinity', 5, uuidv7()),
  ('LG109', 'used', 'd', '{}', 'infinity', 5, uuidv7()),
  ('LG108', 'used', 'd', '{}', '2023-05-01', 5, uuidv7()),
  ('LG110', 'used', 'd', '{}', '2023-05-01', null, uuidv7()),
  ('LG103', 'used', 'd', '{}', '2023-05-01', null, null)
) r (expected, key, description, metadata, at, seconds, pending);
insert into cases (expected, item) values
  ('LG113', tests.item('post_pending', tests.line(null, 'debit', -1), 'used')),
  ('LG112',
    tests.item('posted', (select array_agg(null::app_public.posting_input) from generate_series(1, 10001)),
    'used')),
  ('LG104',
    tests.item('posted', tests.line(null, 'debit', -1) || pg_temp.line('nobody', 'debit', 5), 'used')),
  ('LG102',
    tests.item('posted', pg_temp.line('nobody', 'debit', -1) || pg_temp.line('cash', 'debit', 5), 'used'));

-- A new transaction
insert into cases (expected, item)
select r.expected, tests.item('posted', r.postings, r.key, r.at::timestamptz, conditions => r.conditions)
from (values
  ('LG501', 'used', '2023-05-01', pg_temp.unmet(), pg_temp.line('closed', 'credit', 5)
    || pg_temp.line('nobody', 'debit', 6)),
  ('LG301', 'k', '2023-05-01', pg_temp.unmet(), pg_temp.line('closed', 'credit', 5)
    || pg_temp.line('nobody', 'debit', 6)),
  ('LG201', 'k', '2023-05-01', pg_temp.unmet(), pg_temp.line('closed', 'credit', 5)
    || pg_temp.line('ann', 'debit', 6)),
  ('LG303', 'k', '2023-05-01', pg_temp.unmet(), pg_temp.line('closed', 'credit', 20000)
    || pg_temp.line('frozen', 'debit', 20000)),
  ('LG302', 'k', '2023-05-01', pg_temp.unmet(), pg_temp.line('frozen', 'credit', 20000)
    || pg_temp.line('closed', 'debit', 20000)),
  ('LG309', 'k', '2023-05-01', pg_temp.unmet(), pg_temp.line('capped', 'credit', 20000)
    || pg_temp.line('ann', 'debit', 20000)),
  ('LG205', 'k', '2024-05-01', pg_temp.unmet() || tests.condition(uuidv7(), 1),
    pg_temp.line('capped', 'credit', 20000) || pg_temp.line('ann', 'debit', 20000)),
  ('LG301', 'k', '2024-05-01', tests.condition(uuidv7(), 1) || pg_temp.unmet(),
    pg_temp.line('capped', 'credit', 20000) || pg_temp.line('ann', 'debit', 20000)),
  ('LG204', 'k', '2024-05-01', null, pg_temp.line('brim', 'debit', 300000)
    || pg_temp.line('ann', 'debit', 20000)
    || pg_temp.line('capped', 'debit', 20000) || pg_temp.line('equity', 'credit', 340000)),
  ('LG202', 'k', '2024-05-01', null, pg_temp.line('ann', 'debit', 20000)
    || pg_temp.line('brim', 'debit', 300000)
    || pg_temp.line('capped', 'debit', 20000) || pg_temp.line('equity', 'credit', 340000)),
  ('LG203', 'k', '2024-05-01', null, pg_temp.line('capped', 'debit', 20000)
    || pg_temp.line('ann', 'debit', 20000)
    || pg_temp.line('equity', 'credit', 40000)),
  ('posted', 'k', '2024-05-01', null, pg_temp.line('capped', 'debit', 10)
    || pg_temp.line('equity', 'credit', 10))
) r (expected, key, at, conditions, postings);

-- A resolution: of a pending transaction of cash and of what is frozen by now
insert into cases (expected, item)
select r.expected,
  tests.item('post_pending', r.postings, r.key, r.at::timestamptz, pending_id => r.pending,
  conditions => pg_temp.unmet())
from (values
  ('LG501', 'used', uuidv7(), '2023-05-01', pg_temp.line('nobody', 'debit', 6)),
  ('LG304', 'r', uuidv7(), '2023-05-01', pg_temp.line('nobody', 'debit', 6)),
  ('LG308', 'r', pg_temp.made('posted'), '2023-05-01', pg_temp.line('nobody', 'debit', 6)),
  ('LG306', 'r', pg_temp.made('voided'), '2023-05-01', pg_temp.line('nobody', 'debit', 6)),
  ('LG301', 'r', pg_temp.made('open'), '2023-05-01', pg_temp.line('nobody', 'debit', 6)),
  ('LG206', 'r', pg_temp.made('open'), '2023-05-01', pg_temp.line('cash', 'debit', 11)),
  ('LG201', 'r', pg_temp.made('open'), '2023-05-01', pg_temp.line('frozen', 'credit', 10)),
  ('LG302', 'r', pg_temp.made('open'), '2023-05-01', '{}'::app_public.posting_input[])
) r (expected, key, pending, at, postings);

-- A reversal
insert into cases (expected, item) values
  ('LG501', tests.item(reverses_id => uuidv7(), idempotency_key => 'used', effective_at => '2023-05-01')),
  ('LG312', tests.item(reverses_id => pg_temp.made('voided'), effective_at => '2023-05-01')),
  ('LG311', tests.item(reverses_id => pg_temp.made('reversed'), effective_at => '2023-05-01')),
  ('LG302', tests.item(reverses_id => pg_temp.made('reversal'), effective_at => '2023-05-01'));

select is(
  (tests.outcome('acme', array[c.item]))[1], c.expected,
  format('case %s is refused with %s before all else', c.n, c.expected))
from cases c order by c.n;

select * from finish();
rollback;
