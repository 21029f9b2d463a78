--! Previous: sha1:0743b0a81ce5f4455a134a745d0063f2005acb80
--! Hash: sha1:4b3ced22a3a5e3078e0130a1abe9f746d86a770b
--! Message: letters of receipts

-- The migration being written. See migrations/README.md.
--! Included receipts/issue_receipt.sql
/*
 * The charges that somebody bears of a payment, as its receipt lists them: fees by the name of their schedule,
 * VAT by its rate in percent.
 */
create or replace function app_private.receipt_charges(payment app_public.payments, bearer_id uuid)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    jsonb_agg(
      jsonb_strip_nulls(jsonb_build_object(
        'kind', c.kind, 'name', s.name, 'amount', c.amount::text,
        'rate', trim_scale(v.rate_millionths::numeric / 10000)::text))
      order by c.number),
    '[]')
  from app_public.payment_charges c
  join app_public.accounts a on a.tenant_id = c.tenant_id and a.id = c.debit_account_id
  left join app_public.fee_schedules s on s.tenant_id = c.tenant_id and s.id = c.fee_schedule_id
  left join app_public.vat_rates v on v.tenant_id = c.tenant_id and v.id = c.vat_rate_id
  where c.tenant_id = payment.tenant_id and c.payment_id = payment.id and c.kind in ('fee', 'vat')
    and a.owner_id = receipt_charges.bearer_id
$$;

/*
 * What a receipt says, frozen when it is issued: it says the same for ever, whatever is renamed later. It is
 * written in the language and at the time of its receiver: the customer who paid, or else who was paid.
 */
create or replace function app_private.receipt_facts(payment app_public.payments)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'form', 2,
    'tenant', t.name,
    'receiver', u.name,
    'language', coalesce(split_part(p.language, '-', 1), split_part(s.language, '-', 1), 'en'),
    'timeZone', coalesce(p.time_zone, s.time_zone, 'UTC'),
    'paymentId', payment.id,
    'kind', payment.kind,
    'amount', payment.amount::text,
    'currency', payment.currency,
    'exponent', c.exponent,
    'counterparty', x.name,
    'reference', payment.reference,
    'description', payment.description,
    'settledAt', m.created_at,
    'charges', app_private.receipt_charges(payment, u.id)))
  from app_public.tenants t
  join app_public.currencies c on c.tenant_id = t.id and c.code = payment.currency
  join app_public.accounts d on d.tenant_id = t.id and d.id = payment.debit_account_id
  join app_public.accounts k on k.tenant_id = t.id and k.id = payment.credit_account_id
  left join app_public.users u on u.id = coalesce(d.owner_id, k.owner_id)
  left join app_public.notification_settings s on s.tenant_id = t.id
  left join app_public.notification_profiles p on p.tenant_id = t.id and p.user_id = u.id
  left join app_public.counterparties x on x.tenant_id = t.id and x.id = payment.counterparty_id
  left join app_public.payment_moves m
    on m.tenant_id = t.id and m.payment_id = payment.id and m.to_status = 'settled'
  where t.id = payment.tenant_id
$$;

/*
 * The receipt of a payment, issued if there is none yet. Numbers are taken under the lock of the counter, in the
 * database transaction that makes the receipt: what is rolled back leaves no gap. Null for a payment that did
 * not settle.
 */
create or replace function app_private.issue_receipt(tenant_id integer, payment_id uuid, issued_by uuid)
returns app_public.receipts
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_payment app_public.payments;
  v_receipt app_public.receipts;
  v_last_number bigint;
begin
  select r.* into v_receipt
  from app_public.receipts r
  where r.tenant_id = issue_receipt.tenant_id and r.payment_id = issue_receipt.payment_id;
  if found then
    return v_receipt;
  end if;
  select p.* into v_payment
  from app_public.payments p
  where p.tenant_id = issue_receipt.tenant_id and p.id = issue_receipt.payment_id
    and p.status in ('settled', 'returned');
  if not found then
    return null;
  end if;
  if exists (
    select from app_public.notification_settings s
    where s.tenant_id = issue_receipt.tenant_id and s.receipts_numbered
  ) then
    insert into app_private.receipt_counters (tenant_id) values (issue_receipt.tenant_id) on conflict do nothing;
    select c.last_number into v_last_number
    from app_private.receipt_counters c
    where c.tenant_id = issue_receipt.tenant_id
    for update;
  end if;
  insert into app_public.receipts (tenant_id, payment_id, number, facts, issued_by)
  values (
    issue_receipt.tenant_id, issue_receipt.payment_id, v_last_number + 1, app_private.receipt_facts(v_payment),
    issue_receipt.issued_by)
  on conflict on constraint receipts_payment_id_key do nothing
  returning * into v_receipt;
  if not found then
    -- Somebody else has issued it meanwhile.
    select r.* into strict v_receipt
    from app_public.receipts r
    where r.tenant_id = issue_receipt.tenant_id and r.payment_id = issue_receipt.payment_id;
    return v_receipt;
  end if;
  if v_receipt.number is not null then
    update app_private.receipt_counters c set last_number = v_receipt.number
    where c.tenant_id = issue_receipt.tenant_id;
  end if;
  perform app_private.record_event(v_receipt.tenant_id, 'receipt.issued', v_receipt.id, jsonb_strip_nulls(
    jsonb_build_object(
      'paymentId', v_receipt.payment_id, 'number', v_receipt.number::text,
      'amount', v_payment.amount::text, 'currency', v_payment.currency, 'reference', v_payment.reference)));
  return v_receipt;
end
$$;

/*
 * The receipt of a payment, on demand. A customer gets those of payments that they see; a payment of somebody
 * else looks the same as none.
 */
create or replace function app_public.issue_receipt(payment_id uuid)
returns app_public.receipts
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_actor constant app_private.actor := app_private.authorize('receipts.issue');
  v_receipt app_public.receipts;
begin
  if not exists (
    select
    from app_public.payments p
    join app_public.accounts a on a.tenant_id = p.tenant_id and a.id in (p.debit_account_id, p.credit_account_id)
    where p.tenant_id = v_actor.tenant_id and p.id = issue_receipt.payment_id
      and (v_actor.role <> 'customer' or a.owner_id = v_actor.user_id)
  ) then
    perform app_private.refuse('LG601', jsonb_build_object('paymentId', issue_receipt.payment_id));
  end if;
  v_receipt := app_private.issue_receipt(v_actor.tenant_id, issue_receipt.payment_id, v_actor.user_id);
  if v_receipt.id is null then
    perform app_private.refuse('LG747', jsonb_build_object('paymentId', issue_receipt.payment_id));
  end if;
  return v_receipt;
end
$$;

grant execute on function app_public.issue_receipt(uuid) to
  tallystick_customer, tallystick_teller, tallystick_accountant, tallystick_admin;

comment on function app_public.issue_receipt(uuid) is $$
The receipt of a payment that has settled, issued if there is none yet. Receipts are issued by themselves soon after a
payment settles.
$$;
--! EndIncluded receipts/issue_receipt.sql
