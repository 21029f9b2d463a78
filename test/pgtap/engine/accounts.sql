-- LG301, LG302, LG303: unknown, frozen and closed accounts.
begin;
select plan(16);

select tests.make_books('acme');
create temp table made (name text primary key, id uuid);

create function pg_temp.made(name text)
returns uuid
language sql
as $$
  select m.id from made m where m.name = made.name
$$;

create function pg_temp.outcome_of(item app_public.transaction_input, may_expire boolean default false)
returns text
language sql
as $$
  select (tests.outcome('acme', array[item], may_expire))[1]
$$;

insert into made
select name, tests.post_item('acme', tests.transfer('acme', 'cash', 'bob', 10, kind => 'pending'))
from unnest(array['to void', 'to post', 'to part', 'to release']) name;
insert into made select 'to expire', tests.post('acme', 'cash', 'bob', 10, 'EUR', 'pending', null, null, 1);
insert into made select 'to reverse', tests.post('acme', 'cash', 'bob', 10);

select is(pg_temp.outcome_of(tests.item(postings => tests.lines('acme', 'cash', 'nobody', 5))),
  'LG104', 'no account is an incomplete posting');
select is(
  (select (r.refusal).detail from tests.send('acme', array[tests.item(
    postings => tests.line(tests.account('acme', 'cash'), 'debit', 5)
      || tests.line('01900000-0000-7000-8000-000000000000', 'credit', 5))]) r),
  '{"accountId": "01900000-0000-7000-8000-000000000000"}', 'the detail of LG301 names the unknown account');
select is(tests.outcome('acme', array[
    tests.transfer('acme', 'cash', 'bob', 1),
    tests.item(postings => tests.lines('acme', 'cash', 'bob', 5) || tests.line(uuidv7(), 'credit', 5)),
    tests.transfer('acme', 'rent', 'bob', 1)
  ]), '{posted,LG301,posted}', 'an unknown account refuses its item alone');

update app_public.accounts set status = 'frozen' where id = tests.account('acme', 'bob');
select is(pg_temp.outcome_of(tests.transfer('acme', 'cash', 'bob', 5)), 'LG302',
  'a frozen account takes no credit');
select is(pg_temp.outcome_of(tests.transfer('acme', 'bob', 'cash', 5)), 'LG302',
  'a frozen account takes no debit');
select is(pg_temp.outcome_of(tests.transfer('acme', 'cash', 'bob', 5, kind => 'pending')), 'LG302',
  'nothing is reserved on a frozen account');
select is(pg_temp.outcome_of(tests.item('post_pending', pending_id => pg_temp.made('to post'))), 'LG302',
  'a reservation of a frozen account is not posted');
select is(pg_temp.outcome_of(tests.item('post_pending', tests.lines('acme', 'cash', 'bob', 1),
  pending_id => pg_temp.made('to part'))),
  'LG302', 'nor a part of it');
select is(pg_temp.outcome_of(tests.item('post_pending', tests.lines('acme', 'cash', 'bob', 0),
  pending_id => pg_temp.made('to release'))),
  'posted', 'a part of nothing only releases, which a frozen account takes');
select is(pg_temp.outcome_of(tests.item('void_pending', pending_id => pg_temp.made('to void'))), 'posted',
  'a frozen account takes a void');
select is(pg_temp.outcome_of(tests.item(reverses_id => pg_temp.made('to reverse'))), 'LG302',
  'a transaction of a frozen account is not reversed');
select pg_sleep(1.05);
select is(pg_temp.outcome_of(tests.item('expire_pending', pending_id => pg_temp.made('to expire')), true),
  'posted',
  'a frozen account takes an expiry');

-- Closed for good, as its own owner would: what is pending is released all the same.
update app_public.accounts set status = 'closed', closed_at = now() where id = tests.account('acme', 'bob');
select is(pg_temp.outcome_of(tests.transfer('acme', 'cash', 'bob', 5)), 'LG303',
  'a closed account takes nothing');
select is(pg_temp.outcome_of(tests.item('post_pending', pending_id => pg_temp.made('to post'))), 'LG303',
  'a reservation of a closed account is not posted');
select is(pg_temp.outcome_of(tests.item('void_pending', pending_id => pg_temp.made('to post'))), 'posted',
  'a closed account takes a void');
select is(
  (select (r.refusal).detail from tests.send('acme', array[tests.transfer('acme', 'cash', 'bob', 5)]) r),
  jsonb_build_object('accountId', tests.account('acme', 'bob')), 'the detail names the account');

select * from finish();
rollback;
