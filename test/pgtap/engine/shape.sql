-- What an item may look like, by kind: the first step of the engine, before anything is read or locked.
begin;
select plan(44);

select tests.make_books('acme');

create function pg_temp.outcome_of(item app_public.transaction_input)
returns text
language sql
as $$
  select (tests.outcome('acme', array[item]))[1]
$$;

create function pg_temp.two()
returns app_public.posting_input[]
language sql
as $$
  select tests.lines('acme', 'cash', 'equity', 5)
$$;

-- LG103: postings
select is(pg_temp.outcome_of(null), 'LG103', 'an item that is null has too few postings');
select is(pg_temp.outcome_of(tests.item()), 'LG103', 'no postings are too few');
select is(pg_temp.outcome_of(tests.item(postings => '{}')), 'LG103', 'an empty list of postings is too few');
select is(pg_temp.outcome_of(tests.item(postings => tests.line(tests.account('acme', 'cash'), 'debit', 5))),
  'LG103', 'one posting is too few');
select is(pg_temp.outcome_of(tests.item('pending', tests.line(tests.account('acme', 'cash'), 'debit', 5))),
  'LG103', 'one posting is too few for a pending transaction');

-- LG104: all three fields
select is(pg_temp.outcome_of(tests.item(postings => pg_temp.two() || tests.line(null, 'debit', 5))),
  'LG104', 'a posting needs an account');
select is(pg_temp.outcome_of(tests.item(postings => pg_temp.two()
  || tests.line(tests.account('acme', 'cash'), null, 5))),
  'LG104', 'a posting needs a direction');
select is(pg_temp.outcome_of(tests.item(postings => pg_temp.two()
  || tests.line(tests.account('acme', 'cash'), 'debit', null))),
  'LG104', 'a posting needs an amount');
select is(pg_temp.outcome_of(tests.item(postings => pg_temp.two() || array[null::app_public.posting_input])),
  'LG104', 'a posting that is null is incomplete');

-- LG102: amounts
select is(pg_temp.outcome_of(tests.item(postings => tests.lines('acme', 'cash', 'equity', 0))),
  'LG102', 'a posting of zero is refused');
select is(pg_temp.outcome_of(tests.item('pending', tests.lines('acme', 'cash', 'equity', 0))),
  'LG102', 'a reservation of zero is refused');
select is(pg_temp.outcome_of(tests.item(postings => tests.lines('acme', 'cash', 'equity', -5))),
  'LG102', 'a negative amount is refused');
select is(pg_temp.outcome_of(tests.item('post_pending', tests.lines('acme', 'cash', 'equity', -5),
  pending_id => uuidv7())),
  'LG102', 'a negative part is refused');

-- LG105: the key
select is(pg_temp.outcome_of(tests.item(postings => pg_temp.two(), idempotency_key => '')),
  'LG105', 'an empty key is refused');
select is(pg_temp.outcome_of(tests.item(postings => pg_temp.two(), idempotency_key => repeat('k', 256))),
  'LG105', 'a key of 256 characters is refused');
select is(pg_temp.outcome_of(tests.item(postings => pg_temp.two(), idempotency_key => repeat('é', 255))),
  'posted', 'a key of 255 characters is taken');

-- LG106: the description
select is(pg_temp.outcome_of(tests.item(postings => pg_temp.two(), description => '')),
  'LG106', 'an empty description is refused');
select is(pg_temp.outcome_of(tests.item(postings => pg_temp.two(), description => repeat('d', 1001))),
  'LG106', 'a description of 1001 characters is refused');
select is(pg_temp.outcome_of(tests.item(postings => pg_temp.two(), description => repeat('é', 1000))),
  'posted', 'a description of 1000 characters is taken');

-- LG107: metadata
select is(pg_temp.outcome_of(tests.item(postings => pg_temp.two(), metadata => '[1]')),
  'LG107', 'metadata that is a list is refused');
select is(pg_temp.outcome_of(tests.item(postings => pg_temp.two(), metadata => 'null')),
  'LG107', 'metadata that is a JSON null is refused');
select is(pg_temp.outcome_of(tests.item(
    postings => pg_temp.two(), metadata => jsonb_build_object('a', repeat('x', 16376)))),
  'LG107', 'metadata of 16,385 bytes is refused');
select is(pg_temp.outcome_of(tests.item(
    postings => pg_temp.two(), metadata => jsonb_build_object('a', repeat('x', 16375)))),
  'posted', 'metadata of 16,384 bytes is taken');

-- LG108: the timeout
select is(pg_temp.outcome_of(tests.item('pending', pg_temp.two(), timeout_seconds => 0)),
  'LG108', 'a timeout of no seconds is refused');
select is(pg_temp.outcome_of(tests.item('pending', pg_temp.two(), timeout_seconds => -1)),
  'LG108', 'a negative timeout is refused');
select is(pg_temp.outcome_of(tests.item('pending', pg_temp.two(), timeout_seconds => 315360001)),
  'LG108', 'a timeout above ten years is refused');
select is(pg_temp.outcome_of(tests.item('pending', pg_temp.two(), timeout_seconds => 315360000)),
  'posted', 'a timeout of ten years is taken');
select is(pg_temp.outcome_of(tests.item('posted', pg_temp.two(), timeout_seconds => 60)),
  'LG108', 'a posted transaction has no timeout');
select is(pg_temp.outcome_of(tests.item('void_pending', pending_id => uuidv7(), timeout_seconds => 60)),
  'LG108', 'a void has no timeout');

-- LG109: the effective time
select is(pg_temp.outcome_of(tests.item(postings => pg_temp.two(), effective_at => 'infinity')),
  'LG109', 'an infinite effective time is refused');
select is(pg_temp.outcome_of(tests.item(postings => pg_temp.two(), effective_at => '-infinity')),
  'LG109', 'an infinitely early effective time is refused');
select is(pg_temp.outcome_of(tests.item(postings => pg_temp.two(), effective_at => '10000-01-01Z')),
  'LG109', 'the year 10000 is refused');
select is(pg_temp.outcome_of(tests.item(postings => pg_temp.two(), effective_at => '0001-12-31 BC')),
  'LG109', 'a year before 1 is refused');
select is(pg_temp.outcome_of(tests.item(postings => pg_temp.two(),
  effective_at => '9999-12-31 23:59:59.999999Z')),
  'posted', 'the last moment of the year 9999 is taken');

-- LG110: fields that the kind does not take
select is(pg_temp.outcome_of(tests.item('posted', pg_temp.two(), pending_id => uuidv7())),
  'LG110', 'a posted transaction resolves nothing');
select is(pg_temp.outcome_of(tests.item('pending', pg_temp.two(), pending_id => uuidv7())),
  'LG110', 'a pending transaction resolves nothing');
select is(pg_temp.outcome_of(tests.item('posted', pg_temp.two(), reverses_id => uuidv7())),
  'LG110', 'a reversal names no postings');
select is(pg_temp.outcome_of(tests.item('pending', reverses_id => uuidv7())),
  'LG110', 'a pending transaction reverses nothing');
select is(pg_temp.outcome_of(tests.item('void_pending', pg_temp.two(), pending_id => uuidv7())),
  'LG110', 'a void names no postings');
select is(pg_temp.outcome_of(tests.item('expire_pending', pending_id => uuidv7())),
  'LG110', 'a client cannot expire a pending transaction');

-- LG113: fields that the kind needs
select is(pg_temp.outcome_of(tests.item('post_pending')), 'LG113', 'posting needs the pending transaction');
select is(pg_temp.outcome_of(tests.item('void_pending')), 'LG113', 'voiding needs the pending transaction');

-- LG112: how many postings
select is(
  pg_temp.outcome_of(tests.item(postings => (
    select array_agg(l) from generate_series(1, 5001), unnest(pg_temp.two()) l))),
  'LG112', 'more than 10,000 postings are refused');
select is(
  pg_temp.outcome_of(tests.item(postings => (
    select array_agg(l) from generate_series(1, 5000), unnest(pg_temp.two()) l))),
  'posted', '10,000 postings are taken');

select * from finish();
rollback;
