-- LG501: the same key and payload answer with the original result, the same key and another payload with the
-- difference.
begin;
select plan(37);

select tests.make_books('acme');
select tests.make_books('other');

-- A request with every field that its kind can have.
create function pg_temp.request(
  kind app_public.transaction_kind default 'pending',
  postings app_public.posting_input[] default tests.lines('acme', 'cash', 'bob', 10),
  effective_at timestamptz default '2024-05-06 07:08:09.123456Z',
  timeout_seconds integer default 3600,
  description text default 'rent',
  metadata jsonb default '{"a": 1, "b": [true, null]}',
  conditions app_public.condition_input[] default tests.condition(tests.account('acme', 'cash'), 1, 3)
)
returns app_public.transaction_input
language sql
as $$
  select tests.item(kind, postings, 'key', effective_at, timeout_seconds, null, null, description, metadata,
    conditions)
$$;

create function pg_temp.conflict_of(item app_public.transaction_input)
returns text
language sql
as $$
  select coalesce((r.refusal).code || ' ' || ((r.refusal).detail ->> 'field'), 'is replayed '
    || r.is_replayed)
  from tests.send('acme', array[item]) r
$$;

create temp table made as select * from tests.send('acme', array[pg_temp.request()]);
select is((select is_replayed from made), false, 'the first request is not replayed');
select is(tests.counters('acme', 'bob'), array[0, 10000, 0, 10]::numeric[], 'and has its effect');
select is(
  (select t.fingerprint from app_public.transactions t where t.idempotency_key = 'key'),
  app_private.fingerprint(array[
    'pending', null, null, tests.lines('acme', 'cash', 'bob', 10)::text,
    extract(epoch from timestamptz '2024-05-06 07:08:09.123456Z')::text, '3600', 'rent',
    '{"a": 1, "b": [true, null]}', tests.condition(tests.account('acme', 'cash'), 1, 3)::text
  ]),
  'what it asked for is kept as its fingerprint');
create temp table bare as select tests.send('other', array[tests.item(
  'posted', tests.lines('other', 'cash', 'bob', 1), 'bare')]);
select is(
  (select t.fingerprint from app_public.transactions t where t.idempotency_key = 'bare'),
  app_private.fingerprint(array[
    'posted', null, null, tests.lines('other', 'cash', 'bob', 1)::text, null, null, null, null, null
  ]),
  'also where it asked for nothing besides');
select is(pg_temp.conflict_of(pg_temp.request()), 'is replayed true',
  'the same request is replayed, its condition not asked again');
select is(tests.counters('acme', 'bob'), array[0, 10000, 0, 10]::numeric[], 'without another effect');
select results_eq(
  $$select transaction_id, balances from tests.send('acme', array[pg_temp.request()])$$,
  $$select transaction_id, balances from made$$,
  'with the id and the balances of the original');
select tests.post('acme', 'bob', 'cash', 77);
select results_eq(
  $$select transaction_id, balances from tests.send('acme', array[pg_temp.request()])$$,
  $$select transaction_id, balances from made$$,
  'also when the balances have moved on');
select is(pg_temp.conflict_of(pg_temp.request(metadata => '{"b": [true, null], "a": 1}')), 'is replayed true',
  'the order of the keys of metadata is no difference');
select is(pg_temp.conflict_of(pg_temp.request(effective_at => '2024-05-06 09:08:09.123456+02')),
  'is replayed true',
  'nor is the time zone of the effective time');

-- Each field
select is(pg_temp.conflict_of(pg_temp.request('posted', timeout_seconds => null)), 'LG501 kind',
  'another kind');
select is(pg_temp.conflict_of(pg_temp.request(postings => tests.lines('acme', 'cash', 'bob', 11))),
  'LG501 postings',
  'another amount');
select is(pg_temp.conflict_of(pg_temp.request(postings => tests.lines('acme', 'bob', 'cash', 10))),
  'LG501 postings',
  'other directions');
select is(pg_temp.conflict_of(pg_temp.request(postings => tests.lines('acme', 'cash', 'ann', 10))),
  'LG501 postings',
  'another account');
select is(pg_temp.conflict_of(pg_temp.request(postings => tests.lines('acme', 'cash', 'bob', 5)
    || tests.lines('acme', 'cash', 'bob', 5))), 'LG501 postings', 'the same sum in more postings');
select is(pg_temp.conflict_of(pg_temp.request(effective_at => '2024-05-06 07:08:09.123457Z')),
  'LG501 effectiveAt',
  'an effective time one microsecond later');
select is(pg_temp.conflict_of(pg_temp.request(effective_at => null)), 'LG501 effectiveAt',
  'no effective time');
select is(pg_temp.conflict_of(pg_temp.request(timeout_seconds => 3601)), 'LG501 timeoutSeconds',
  'another timeout');
select is(pg_temp.conflict_of(pg_temp.request(timeout_seconds => null)), 'LG501 timeoutSeconds',
  'no timeout');
select is(pg_temp.conflict_of(pg_temp.request(description => 'Rent')), 'LG501 description',
  'another description');
select is(pg_temp.conflict_of(pg_temp.request(description => null)), 'LG501 description', 'no description');
select is(pg_temp.conflict_of(pg_temp.request(metadata => '{"a": 2, "b": [true, null]}')), 'LG501 metadata',
  'other metadata');
select is(pg_temp.conflict_of(pg_temp.request(metadata => null)), 'LG501 metadata', 'no metadata');
select is(pg_temp.conflict_of(pg_temp.request(conditions => tests.condition(tests.account('acme', 'cash'), 2,
  3))),
  'LG501 conditions', 'another condition');
select is(pg_temp.conflict_of(pg_temp.request(conditions => null)), 'LG501 conditions', 'no condition');
select is(pg_temp.conflict_of(pg_temp.request('posted', tests.lines('acme', 'cash', 'bob', 11), null, null,
  'x')),
  'LG501 kind', 'of several differences the first is told');

-- The target of a resolution or a reversal
create temp table targets as
select tests.post('acme', 'cash', 'bob', 1, 'EUR', 'pending') as pending_1,
  tests.post('acme', 'cash', 'bob', 1, 'EUR', 'pending') as pending_2,
  tests.post('acme', 'cash', 'bob', 1) as posted_1, tests.post('acme', 'cash', 'bob', 1) as posted_2;
select tests.post_item('acme',
  tests.item('post_pending', pending_id => pending_1, idempotency_key => 'post')) from targets;
select tests.post_item('acme', tests.item(reverses_id => posted_1, idempotency_key => 'undo')) from targets;
select is(pg_temp.conflict_of(tests.item('post_pending', pending_id => pending_2, idempotency_key => 'post')),
  'LG501 pendingId', 'another pending transaction') from targets;
select is(pg_temp.conflict_of(tests.item('void_pending', pending_id => pending_1, idempotency_key => 'post')),
  'LG501 kind', 'a void in place of a post') from targets;
select is(pg_temp.conflict_of(tests.item('post_pending', tests.lines('acme', 'cash', 'bob', 1),
  pending_id => pending_1,
  idempotency_key => 'post')), 'LG501 postings', 'a part in place of the whole') from targets;
select is(pg_temp.conflict_of(tests.item(reverses_id => posted_2, idempotency_key => 'undo')),
  'LG501 reversesId', 'another original') from targets;
select is(pg_temp.conflict_of(tests.item(reverses_id => posted_1, idempotency_key => 'undo')),
  'is replayed true', 'a replay is answered before the target is looked at') from targets;

-- A refused attempt leaves no key, and other books know nothing of it.
select is(tests.outcome('acme', array[
    tests.transfer('acme', 'ann', 'cash', 10001, idempotency_key => 'again'),
    tests.transfer('acme', 'ann', 'cash', 10000, idempotency_key => 'again'),
    tests.transfer('acme', 'ann', 'cash', 10000, idempotency_key => 'again'),
    tests.transfer('acme', 'ann', 'cash', 9999, idempotency_key => 'again')
  ]), '{LG202,posted,replayed,LG501}',
    'a refused attempt leaves no key; within a batch a key counts as it does between batches');
select is(tests.outcome('other', array[tests.transfer('other', 'cash', 'bob', 3, idempotency_key => 'key')]),
  '{posted}',
  'a key of other books is free');
select throws_ok($$select * from tests.send('acme', array[
    tests.transfer('acme', 'cash', 'bob', 1, idempotency_key => 'atomic'),
    tests.transfer('acme', 'ann', 'cash', 10001)], 'atomic')$$, 'LG202', null, 'an atomic batch that fails');
select is(pg_temp.conflict_of(tests.transfer('acme', 'cash', 'bob', 1, idempotency_key => 'atomic')),
  'is replayed false',
  'leaves no key either');

-- Within one atomic batch
create function pg_temp.detail_of(statement text)
returns jsonb
language plpgsql
as $$
declare
  v_detail text;
begin
  execute statement;
  return null;
exception when sqlstate 'LG501' then
  get stacked diagnostics v_detail = pg_exception_detail;
  return v_detail::jsonb - 'name';
end
$$;
select is(pg_temp.detail_of($$select tests.send('acme', array[
    tests.transfer('acme', 'cash', 'bob', 1, idempotency_key => 'new'),
    tests.transfer('acme', 'cash', 'bob', 2, idempotency_key => 'new')], 'atomic')$$),
  '{"item": 1, "field": "postings"}',
    'a conflict within an atomic batch names the item and the field, but no transaction');
select is(pg_temp.detail_of($$select tests.send('acme', array[
    tests.transfer('acme', 'cash', 'bob', 2), pg_temp.request(description => 'x')], 'atomic')$$),
  (select jsonb_build_object('item', 1, 'field', 'description', 'transactionId', transaction_id) from made),
  'a conflict with an earlier transaction names that');

select * from finish();
rollback;
