-- Written past the engine, by the owner, with the triggers on: what is unbalanced or does not fit is refused.
begin;
select plan(40);

select tests.make_books('acme');
select tests.make_books('other');
create temp table made as select tests.post('acme', 'cash', 'bob', 10, 'EUR', 'pending') as pending;
grant select on made to tallystick_owner;

/*
 * A transfer of 10 from sales to cash, as the engine would write it: one statement writes the transaction,
 * its postings and the balances. Each parameter spoils one thing.
 */
create function pg_temp.write(
  credit_amount numeric default 10,
  debit_pending numeric default 0,
  credit_pending numeric default null,
  currency text default 'EUR',
  account_currency text default 'EUR',
  transaction_kind app_public.transaction_kind default 'posted',
  version_step integer default 1,
  balance_step integer default 1,
  counter_step numeric default 10,
  balance_counter_step numeric default 10,
  posting_effective_at timestamptz default '2024-01-01',
  posting_created_step interval default '0',
  created_step interval default '1 microsecond',
  transaction_id uuid default null,
  posting_transaction_id uuid default null,
  pending_id uuid default null,
  tenant text default 'acme',
  expires_at timestamptz default null,
  reverses_id uuid default null,
  key text default null
)
returns void
language plpgsql
as $$
declare
  v_tenant_id constant integer := tests.tenant(tenant);
  v_id constant uuid := coalesce(transaction_id, uuidv7());
  v_at timestamptz;
begin
  select max(b.last_created_at) + created_step into v_at from app_public.account_balances b;
  with new_transaction as (
    insert into app_public.transactions (
      tenant_id, kind, created_at, effective_at, id, pending_id, expires_at, reverses_id, idempotency_key
    ) values (
      v_tenant_id, transaction_kind, v_at, '2024-01-01', v_id, pending_id, expires_at, reverses_id, key
    )
  ),
  line as (
    select b.*, l.direction, l.posted, l.pending, l.ordinal,
      case l.direction when 'debit' then counter_step else 10 end as step,
      case l.direction when 'debit' then balance_counter_step else 10 end as balance_step_of_counter
    from (values
      ('cash', account_currency, 'debit'::app_public.direction, 10, debit_pending, 1),
      ('sales', 'EUR', 'credit', credit_amount, coalesce(credit_pending, debit_pending), 2)
    ) l (code, account_currency, direction, posted, pending, ordinal)
    join app_public.account_balances b
      on b.tenant_id = tests.tenant('acme')
        and b.account_id = tests.account('acme', l.code, l.account_currency)
  ),
  new_postings as (
    insert into app_public.postings (
      tenant_id, direction, version, effective_at, created_at, transaction_id, account_id, ordinal, currency,
      posted_amount, pending_amount, posted_debits, posted_credits, pending_debits, pending_credits
    )
    select v_tenant_id, l.direction, l.version + version_step, posting_effective_at,
      v_at + posting_created_step,
      coalesce(posting_transaction_id, v_id), l.account_id, l.ordinal, write.currency, l.posted, l.pending,
      l.posted_debits + case l.direction when 'debit' then l.step else 0 end,
      l.posted_credits + case l.direction when 'credit' then l.step else 0 end,
      l.pending_debits, l.pending_credits
    from line l
  )
  update app_public.account_balances b
  set version = b.version + balance_step,
    last_created_at = v_at,
    posted_debits = b.posted_debits + case l.direction when 'debit' then l.balance_step_of_counter else 0 end,
    posted_credits = b.posted_credits
      + case l.direction when 'credit' then l.balance_step_of_counter else 0 end
  from line l
  where b.tenant_id = l.tenant_id and b.account_id = l.account_id;
end
$$;

set local role tallystick_owner;

-- The check must let pass what is right, else it proves nothing.
savepoint clean;
select lives_ok('select pg_temp.write()', 'what fits is taken');
rollback to clean;

-- Balance
select throws_ok('select pg_temp.write(credit_amount => 9)', 'LG201', null,
  'debits and credits that differ are refused');
select throws_ok('select pg_temp.write(credit_amount => 0, credit_pending => 10)', 'LG201', null,
  'a posting does not balance a reservation');
select throws_ok(
  'select pg_temp.write(debit_pending => 5, credit_pending => 4, transaction_kind => ''pending'')',
  '23514', null, 'a posting that posts and reserves is refused by a constraint');

-- The transaction
select throws_ok($$insert into app_public.transactions (tenant_id, kind, created_at, effective_at, id)
  values (tests.tenant('acme'), 'posted', now(), now(), uuidv7())$$, 'LG103', null,
    'a transaction without postings is refused');
select throws_ok('select pg_temp.write(posting_transaction_id => uuidv7())', 'LG320', null,
  'postings of no transaction are refused');
select throws_ok($$select pg_temp.write(posting_transaction_id => (
    select t.id from app_public.transactions t where t.tenant_id = tests.tenant('acme')
      order by t.id limit 1))$$,
  'LG320', null, 'postings of an earlier transaction are refused');
select throws_ok('select pg_temp.write(posting_effective_at => ''2024-01-02'')', 'LG320', null,
  'another effective time than the transaction''s is refused');
select throws_ok('select pg_temp.write(posting_created_step => ''1 second'')', 'LG320', null,
  'another created_at than the transaction''s is refused');
select throws_ok('select pg_temp.write(transaction_kind => ''pending'')', 'LG320', null,
  'a pending transaction that posts is refused');
select throws_ok(
  'select pg_temp.write(transaction_kind => ''post_pending'', pending_id => (select pending from made))',
  'LG320', null,
  'a resolution that releases nothing is refused');
select throws_ok('select pg_temp.write(tenant => ''other'')', 'LG320', null,
  'an account of other books is refused');

-- The account
select throws_ok('select pg_temp.write(currency => ''USD'')', 'LG320', null,
  'another currency than the account''s is refused');
select throws_ok('select pg_temp.write(account_currency => ''USD'')', 'LG320', null,
  'an account of another currency than its posting''s is refused');
select throws_ok('select pg_temp.write(version_step => 2)', 'LG320', null,
  'a gap in the versions is refused');
select throws_ok('select pg_temp.write(version_step => 2, balance_step => 2)', 'LG320', null,
  'also when the balance has it too');
select throws_ok('select pg_temp.write(version_step => 0)', '23505', null,
  'a version that is taken is refused');
select throws_ok('select pg_temp.write(balance_step => 0)', 'LG320', null,
  'a balance that was not brought forward is refused');
select throws_ok('select pg_temp.write(balance_step => 2)', 'LG320', null,
  'nor one that is further on than its postings');
select throws_ok('select pg_temp.write(credit_amount => 0, currency => ''EUR'')', '23514', null,
  'a posting that moves nothing is refused');
select throws_ok('select pg_temp.write(balance_counter_step => 0)', 'LG320', null,
  'nor one with other counters');
select throws_ok('select pg_temp.write(balance_counter_step => 11)', 'LG320', null,
  'neither too little nor too much');
select throws_ok('select pg_temp.write(counter_step => 11)', 'LG320', null,
  'a posting that tells wrong counters is refused');
select throws_ok('select pg_temp.write(counter_step => 11, balance_counter_step => 11)', 'LG320', null,
  'also when the balance tells the same');
select throws_ok('select pg_temp.write(created_step => ''0'')', 'LG320', null,
  'a created_at that does not rise is refused');
select throws_ok('select pg_temp.write(created_step => ''-1 second'')', 'LG320', null, 'nor may it fall');

-- Two statements
prepare first_half as
  insert into app_public.transactions (tenant_id, kind, created_at, effective_at, id)
  values (tests.tenant('acme'), 'posted', clock_timestamp(), '2024-01-01',
    '01900000-0000-7000-8000-000000000001');
select throws_ok('execute first_half', 'LG103', null,
  'a transaction comes in one statement with its postings');
select throws_ok($$
    insert into app_public.postings (
      tenant_id, direction, version, effective_at, created_at, transaction_id, account_id, ordinal, currency,
      posted_amount, pending_amount, posted_debits, posted_credits, pending_debits, pending_credits
    )
    select b.tenant_id, 'debit', b.version + 1, '2024-01-01', clock_timestamp(), uuidv7(), b.account_id, 1,
      'EUR',
      10, 0, b.posted_debits + 10, b.posted_credits, 0, 0
    from app_public.account_balances b where b.account_id = tests.account('acme', 'rent')
  $$, 'LG201', null, 'postings alone are refused');
select lives_ok('select pg_temp.write(transaction_id => ''01900000-0000-7000-8000-000000000002'')',
  'a transaction, to add to');
select throws_ok($$
    with line as (
      select b.*, t.created_at, l.direction, row_number() over ()::integer as n
      from app_public.account_balances b
      cross join app_public.transactions t
      cross join unnest(array['debit', 'credit']::app_public.direction[]) l (direction)
      where b.account_id = tests.account('acme', 'rent') and t.id = '01900000-0000-7000-8000-000000000002'
    ),
    new_postings as (
      insert into app_public.postings (
        tenant_id, direction, version, effective_at, created_at, transaction_id, account_id, ordinal,
          currency,
        posted_amount, pending_amount, posted_debits, posted_credits, pending_debits, pending_credits
      )
      select tenant_id, direction, version + n, '2024-01-02', created_at,
        '01900000-0000-7000-8000-000000000002', account_id,
        n, 'EUR', 5, 0, posted_debits + 5, posted_credits + case n when 2 then 5 else 0 end, 0, 0
      from line
    )
    update app_public.account_balances b
    set version = b.version + 2, posted_debits = b.posted_debits + 5, posted_credits = b.posted_credits + 5
    where b.account_id = tests.account('acme', 'rent')
  $$, 'LG320', null, 'later postings of other times are refused, even when they balance');

-- Constraints of transactions
select throws_ok('select pg_temp.write(transaction_kind => ''void_pending'')', '23514', null,
  'a resolution names what it resolves');
select throws_ok('select pg_temp.write(pending_id => (select pending from made))', '23514', null,
  'what names a pending transaction resolves it');
select throws_ok('select pg_temp.write(expires_at => ''2100-01-01'')', '23514', null,
  'only a pending transaction expires');
select throws_ok('select pg_temp.write(key => ''k'')', '23514', null, 'a key has its fingerprint');

-- Constraints of account_balances
create function pg_temp.set_balance(assignment text, code text default 'bob')
returns text
language sql
as $$
  select format('update app_public.account_balances set %s where account_id = tests.account(''acme'', %L)',
    assignment, code)
$$;
select throws_ok(pg_temp.set_balance('posted_debits = 20000'), '23514', null,
  'a counter past a limit is refused, whoever sets it');
select throws_ok(pg_temp.set_balance('maximum_balance = 5'), '23514', null,
  'so is a limit that is exceeded already');
select throws_ok(pg_temp.set_balance('pending_debits = -1'), '23514', null, 'a counter is never negative');
select throws_ok(pg_temp.set_balance('expired_credits = 11'), '23514', null,
  'no more has expired than is pending');
select throws_ok(pg_temp.set_balance('currency = ''USD'''), '23503', null,
  'a balance keeps the currency of its account');
select throws_ok(pg_temp.set_balance('normal_balance = ''credit''', 'rent'), '23503', null,
  'and its normal balance');

reset role;
select * from finish();
rollback;
