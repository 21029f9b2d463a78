/*
 * The states of a payment: every move from every state to every other one. Those that are allowed work and leave
 * the ledger as they say; all others are refused by a code, and by a constraint when the owner writes them.
 */
begin;
create temp table way (status app_public.payment_status primary key, steps text[]) on commit drop;
insert into way values
  ('requested', '{}'), ('reserved', '{reserved}'), ('submitted', '{reserved,submitted}'),
  ('settled', '{reserved,submitted,settled}'), ('returned', '{reserved,submitted,settled,returned}'),
  ('failed', '{reserved,failed}'), ('cancelled', '{reserved,cancelled}'), ('expired', '{reserved,expired}');
create temp table pair on commit drop as
select f.status as from_status, t.status as to_status, row_number() over ()::integer as n,
  exists (
    select from app_private.payment_moves_allowed m where m.from_status = f.status and m.to_status = t.status
  ) as is_allowed
from way f cross join way t
where f.status <> t.status;

select plan((select 3 * count(*) + 25 from pair)::integer);

select tests.make_books('acme');
select tests.make_provider('acme', 'bank');
select tests.make_provider('acme', 'other');
create function pg_temp.actor() returns app_private.actor language sql as $$
  select app_private.system_actor(tests.tenant('acme'))
$$;

-- Move a payment by the function that there is for it.
create function pg_temp.move(id uuid, to_status app_public.payment_status) returns app_public.payments
language plpgsql as $$
declare
  v_tenant constant integer := tests.tenant('acme');
  v_to constant text := case (select p.provider_code from app_public.payments p where p.id = move.id)
    when 'bank' then 'other' else 'bank' end;
  v_payment app_public.payments;
begin
  v_payment := app_private.lock_payment(v_tenant, id);
  case to_status
    when 'requested' then return app_private.release_payment(pg_temp.actor(), v_payment, 'requested');
    when 'reserved' then
      if v_payment.status <> 'requested' then
        perform app_private.refuse_payment_move(v_payment, 'reserved');
      end if;
      return app_private.reserve_payment(pg_temp.actor(), v_tenant, id);
    when 'submitted' then return app_private.submit_payment(pg_temp.actor(), v_tenant, id);
    when 'settled' then return app_private.settle_payment(pg_temp.actor(), v_tenant, id);
    when 'failed' then return app_private.fail_payment(pg_temp.actor(), v_tenant, id, 'no_reason', 'None.');
    when 'returned' then return app_private.return_payment(pg_temp.actor(), v_tenant, id, 'AC04', 'Closed.');
    else return app_private.void_payment(pg_temp.actor(), v_tenant, id, to_status, 'Why.');
  end case;
end
$$;

-- A payment in a state, requested a moment ago.
create function pg_temp.payment_in(status app_public.payment_status) returns uuid language plpgsql as $$
declare
  v_id uuid;
  v_step text;
begin
  v_id := tests.pay('acme', tests.payment('acme', 'pay_out', 'ann', 10, provider_code => 'bank',
    execute_at => now() + interval '1 hour'));
  perform set_config('session_replication_role', 'replica', true);
  update app_public.payments set execute_at = now() where id = v_id;
  perform set_config('session_replication_role', 'origin', true);
  foreach v_step in array (select w.steps from way w where w.status = payment_in.status) loop
    perform pg_temp.move(v_id, v_step::app_public.payment_status);
  end loop;
  return v_id;
end
$$;

create temp table paid on commit drop as
select w.status, pg_temp.payment_in(w.status) as id from way w;
-- What the ledger says of a payment: the counters of ann by its reservation, and whether it was posted or voided.
create function pg_temp.ledger(payment_id uuid) returns text language sql as $$
  select coalesce(string_agg(t.kind::text || case when t.reverses_id is not null then ' back' else '' end, ', '
    order by m.number), 'nothing')
  from app_public.payment_moves m join app_public.transactions t on t.id = m.transaction_id
  where m.payment_id = ledger.payment_id
$$;
select is(pg_temp.ledger(p.id), e.expected, format('%s: %s in the ledger', e.status, e.expected))
from (values
  ('requested', 'nothing'), ('reserved', 'pending'), ('submitted', 'pending'), ('settled', 'pending, post_pending'),
  ('returned', 'pending, post_pending, posted back'), ('failed', 'pending, void_pending'),
  ('cancelled', 'pending, void_pending'), ('expired', 'pending, void_pending')
) as e (status, expected)
join paid p on p.status::text = e.status;
select is(
  (select array[c[1] - c[2], c[3]] from (select tests.counters('acme', 'ann') as c) x),
  array[-10000 + 10 + 10 - 10, 20]::numeric[], 'the account has what those say');

--------------------------------------------------------------------------------------------------
-- Each pair, by the functions

create function pg_temp.outcome(from_status app_public.payment_status, to_status app_public.payment_status)
returns text language plpgsql as $$
declare
  v_id constant uuid := (select p.id from paid p where p.status = from_status);
  v_payment app_public.payments;
  v_result text;
begin
  begin
    v_payment := pg_temp.move(v_id, to_status);
    v_result := concat_ws(' ', v_payment.status, pg_temp.ledger(v_id));
    -- Undone, so that each pair begins with the same payment.
    raise sqlstate 'TT001';
  exception when sqlstate 'TT001' then
    return v_result;
  end;
exception when others then
  return sqlstate;
end
$$;
select is(
  split_part(pg_temp.outcome(p.from_status, p.to_status), ' ', 1),
  case when p.is_allowed then p.to_status::text else 'LG602' end,
  format('%s to %s: %s', p.from_status, p.to_status, case when p.is_allowed then 'moves' else 'refused' end))
from pair p order by p.n;
select is(
  pg_temp.outcome(w.status, w.status), w.status || ' ' || pg_temp.ledger(p.id),
  format('%s to %s: nothing is done', w.status, w.status))
from way w join paid p using (status)
where w.status not in ('requested', 'reserved');

--------------------------------------------------------------------------------------------------
-- Each pair, as the owner would write it

create function pg_temp.written(from_status app_public.payment_status, to_status app_public.payment_status)
returns text language plpgsql as $$
declare
  v_constraint text;
begin
  begin
    insert into app_public.payment_moves (tenant_id, payment_id, number, from_status, to_status)
    select p.tenant_id, p.id, p.move_number + 1, p.status, written.to_status
    from app_public.payments p join paid d on d.id = p.id and d.status = written.from_status;
    raise sqlstate 'TT001';
  exception when sqlstate 'TT001' then
    return 'written';
  end;
exception when foreign_key_violation then
  get stacked diagnostics v_constraint = constraint_name;
  return v_constraint;
end
$$;
grant all on pair, paid, way to tallystick_owner;
set local role tallystick_owner;
select is(
  pg_temp.written(p.from_status, p.to_status),
  case when p.is_allowed then 'written' else 'payment_moves_from_status_fkey' end,
  format('%s to %s: %s as a row', p.from_status, p.to_status, case when p.is_allowed then 'written' else 'refused' end))
from pair p order by p.n;
create function pg_temp.stands(from_status app_public.payment_status, to_status app_public.payment_status)
returns text language plpgsql as $$
declare
  -- Transactions that belong to no payment.
  v_ids constant uuid[] := array(
    select t.id from app_public.transactions t
    where t.tenant_id = tests.tenant('acme') and t.metadata is null order by t.id limit 3);
  v_constraint text;
begin
  update app_public.payments p
  set status = stands.to_status,
    pending_transaction_id = coalesce(p.pending_transaction_id, v_ids[1]),
    settlement_transaction_id = case when stands.to_status in ('settled', 'returned')
      then coalesce(p.settlement_transaction_id, v_ids[2]) end,
    return_transaction_id = case when stands.to_status = 'returned' then coalesce(p.return_transaction_id, v_ids[3]) end
  where p.id = (select d.id from paid d where d.status = stands.from_status);
  set constraints all immediate;
  return 'written';
exception when foreign_key_violation then
  get stacked diagnostics v_constraint = constraint_name;
  return v_constraint;
end
$$;
select is(
  pg_temp.stands(p.from_status, p.to_status), 'payments_move_number_fkey',
  format('%s to %s: no payment stands where its last move did not end', p.from_status, p.to_status))
from pair p order by p.n;
set local role none;

--------------------------------------------------------------------------------------------------
-- Another provider, names that providers give, what is due

create function pg_temp.row_of(id uuid) returns app_public.payments language sql as $$
  select p from app_public.payments p where p.id = row_of.id
$$;
select is(
  (app_private.submit_payment(pg_temp.actor(), tests.tenant('acme'), id, 'P 1')).provider_reference, 'P 1',
  'a payment that is submitted notes what its provider calls it') from paid where status = 'submitted';
select throws_ok(
  format('select app_private.settle_payment(pg_temp.actor(), %s, %L, ''P 2'')', tests.tenant('acme'), id),
  'LG614', null, 'and takes no other name') from paid where status = 'submitted';
select is(
  (select concat_ws(' ', p.status, p.provider_code, p.credit_account_id = tests.account('acme', 'clearing:other'),
    coalesce(p.provider_reference, 'none'), pg_temp.ledger(p.id))
  from app_private.reroute_payment(pg_temp.actor(), tests.tenant('acme'), d.id, 'other', 'Not reached.') p),
  'reserved other t none pending, void_pending, pending',
  'through another provider it is reserved anew') from paid d where status = 'submitted';
select is((tests.counters('acme', 'clearing:other'))[4], 10::numeric, 'with the account of that one');
select throws_ok(
  format('select app_private.reroute_payment(pg_temp.actor(), %s, %L, ''other'')', tests.tenant('acme'), id),
  'LG602', null, 'one that has settled stays') from paid where status = 'settled';

select is(app_private.expire_payments(10), 0, 'nothing expires that has no time to');
set local session_replication_role = replica;
update app_public.payments set expires_at = now() - interval '1 second';
set local session_replication_role = origin;
select is(
  (app_private.submit_payment(pg_temp.actor(), tests.tenant('acme'), id)).status, 'submitted',
  'a payment may be submitted late, if nobody was faster') from paid where status = 'reserved';
select is(app_private.expire_payments(1), 1, 'what is requested or reserved expires, so many at once');
select is(app_private.expire_payments(10), 1, 'all of it');
select is(
  (select string_agg((pg_temp.row_of(id)).status::text, ' ' order by status) from paid
    where status in ('requested', 'reserved', 'submitted')),
  'expired submitted expired', 'and nothing that was handed to a provider');

select * from finish();
rollback;
