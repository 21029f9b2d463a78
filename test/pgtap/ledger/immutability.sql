-- LG319: transactions and postings are appended, never changed or removed, not even by their owner.
begin;
select plan(14);

select tests.make_books('acme');
set local role tallystick_owner;

select throws_ok('update app_public.transactions set description = ''x''', 'LG319', null,
  'the owner cannot update transactions');
select throws_ok('update app_public.transactions set description = ''x'' where false', 'LG319', null,
  'not even none of them');
select throws_ok('delete from app_public.transactions', 'LG319', null,
  'the owner cannot delete transactions');
select throws_ok('truncate app_public.transactions cascade', 'LG319', null,
  'the owner cannot truncate transactions');
select throws_ok('truncate app_public.transactions', '0A000', null,
  'which without cascade their references forbid');
select throws_ok('update app_public.postings set posted_amount = 1', 'LG319', null,
  'the owner cannot update postings');
select throws_ok('update app_public.postings set effective_at = now()', 'LG319', null,
  'nor when they were effective');
select throws_ok('delete from app_public.postings', 'LG319', null, 'the owner cannot delete postings');
select throws_ok('truncate app_public.postings', 'LG319', null, 'the owner cannot truncate postings');
select throws_ok($$
    merge into app_public.postings p using (values (1)) v on true when matched then delete
  $$, 'LG319', null, 'nor merge them away');
select throws_ok($$
    insert into app_public.transactions (tenant_id, kind, created_at, effective_at, id)
    select t.tenant_id, t.kind, t.created_at, t.effective_at, t.id from app_public.transactions t limit 1
    on conflict on constraint transactions_pkey do update set description = 'x'
  $$, 'LG319', null, 'nor change one as a conflict of an insert');

reset role;
select throws_ok('update app_public.transactions set description = ''x''', 'LG319', null,
  'nor can a superuser');
select throws_ok('delete from app_public.postings', 'LG319', null, 'whoever tries is refused');
select is((select count(*)::integer from app_public.postings p where p.tenant_id = tests.tenant('acme')), 8,
  'and all is as it was');

select * from finish();
rollback;
