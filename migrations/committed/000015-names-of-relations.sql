--! Previous: sha1:cdc25fb75ff440aa73a4730a198652275a8c58dd
--! Hash: sha1:58e56b0c10f7b6aa1b7bcc107b8c5968d3f309bb
--! Message: names of relations

-- The migration being written. See migrations/README.md.
--! Included subscriptions/comments.sql
/*
 * What GraphQL says about subscriptions.
 */
comment on type app_public.plan_interval is 'What periods of a plan are counted in.';
comment on type app_public.proration_policy is
  'How what is left of a period is counted when a subscription changes in the middle of it.';
comment on type app_public.dunning_outcome is 'What becomes of a subscription whose invoice stays unpaid.';
comment on type app_public.subscription_status is 'Where a subscription stands.';
comment on type app_public.invoice_status is 'What became of an invoice.';
comment on type app_public.invoice_line_kind is 'What a line of an invoice is for.';

comment on type app_public.plan_input is 'A plan to make.';
comment on column app_public.plan_input.code is
  'The short name, unique: a lower-case letter, then up to 49 lower-case letters, digits, dashes and underscores.';
comment on column app_public.plan_input.name is 'The name for people, which the reference of payments begins with.';
comment on column app_public.plan_input.price is 'What one costs for each period, in minor units.';
comment on column app_public.plan_input.interval_unit is 'What periods are counted in.';
comment on column app_public.plan_input.interval_count is 'How many of them a period has, 1 to 366; one if left out.';
comment on column app_public.plan_input.time_zone is
  'The time zone of IANA whose calendar periods follow; UTC if left out.';
comment on column app_public.plan_input.trial_days is 'How many days are free at first, 0 to 730; none if left out.';
comment on column app_public.plan_input.trial_notice_days is
  'How many days before the end of a trial there is an event, 0 to 60; three if left out, never if 0.';
comment on column app_public.plan_input.proration is
  'How what is left of a period is counted; BY_SECOND if left out.';
comment on column app_public.plan_input.dunning_days is
  'On which days after it was due an unpaid invoice is tried again; 1, 3, 5 and 7 if left out.';
comment on column app_public.plan_input.dunning_outcome is
  'What becomes of a subscription after the last of them; it is cancelled if left out.';
comment on column app_public.plan_input.merchant_account_id is 'The id of the account that is paid.';

comment on type app_public.subscription_change is 'What a change of a subscription costs, in minor units.';
comment on column app_public.subscription_change.unused_amount is
  'The credit for what is left of the period at the old price, in minor units: zero or below.';
comment on column app_public.subscription_change.remaining_amount is
  'The charge for what is left of the period at the new price, in minor units; zero where a period of its own begins.';
comment on column app_public.subscription_change.restarts_period is
  'Whether a period begins at once, because the interval differs.';
comment on column app_public.subscription_change.due_now is 'What is paid at once, in minor units.';
comment on column app_public.subscription_change.next_invoice_at is 'When the next invoice after that is made.';
comment on column app_public.subscription_change.next_invoice_amount is
  'What that invoice will ask for, in minor units, if nothing else changes.';

comment on table app_public.plans is $$
@behavior +query:resource:connection +type:node

What accounts subscribe to: a price for each period. What a plan asks for never changes.
$$;
comment on column app_public.plans.id is 'The id of the plan.';
comment on column app_public.plans.code is $$
@behavior +attribute:filterBy +attribute:orderBy

The short name, unique.
$$;
comment on column app_public.plans.name is 'The name for people.';
comment on column app_public.plans.price is 'What one costs for each period, in minor units.';
comment on column app_public.plans.currency is 'The currency.';
comment on column app_public.plans.interval_unit is 'What periods are counted in.';
comment on column app_public.plans.interval_count is 'How many of them a period has.';
comment on column app_public.plans.time_zone is 'The time zone whose calendar periods follow.';
comment on column app_public.plans.trial_days is 'How many days are free at first.';
comment on column app_public.plans.trial_notice_days is 'How many days before the end of a trial there is an event.';
comment on column app_public.plans.proration is
  'How what is left of a period is counted when a subscription changes.';
comment on column app_public.plans.dunning_outcome is 'What becomes of a subscription whose invoice stays unpaid.';
comment on column app_public.plans.merchant_account_id is 'The id of the account that is paid.';
comment on column app_public.plans.archived_at is 'From when on it takes no new subscribers.';
comment on column app_public.plans.created_at is 'When it was made.';
comment on column app_public.plans.updated_at is 'When it was archived, or else made.';

comment on table app_public.plan_dunning_steps is $$
When an invoice that was not paid is tried again.
$$;
comment on column app_public.plan_dunning_steps.plan_id is 'The id of the plan.';
comment on column app_public.plan_dunning_steps.number is 'The place of the step, from 1 on.';
comment on column app_public.plan_dunning_steps.after_days is 'How many days after the invoice was due.';
comment on constraint plan_dunning_steps_plan_id_fkey on app_public.plan_dunning_steps is $$
@fieldName plan
@foreignFieldName dunningSteps
@forwardDescription The plan.
@backwardDescription When an invoice that was not paid is tried again.
$$;

-- GraphQL has a type Subscription of its own.
comment on table app_public.subscriptions is $$
@name plan_subscriptions
@behavior +query:resource:connection +type:node

That an account pays for a plan, period by period, in advance.
$$;
comment on column app_public.subscriptions.id is $$
@behavior +attribute:orderBy

The id of the subscription.
$$;
comment on column app_public.subscriptions.plan_id is $$
@behavior +attribute:filterBy

The id of the plan.
$$;
comment on column app_public.subscriptions.account_id is $$
@behavior +attribute:filterBy

The id of the account that subscribes, and pays unless a provider is named.
$$;
comment on column app_public.subscriptions.status is $$
@behavior +attribute:filterBy

Where it stands.
$$;
comment on column app_public.subscriptions.provider_code is
  'The provider by which it is paid from outside; null = from the balance of the account.';
comment on column app_public.subscriptions.counterparty_id is 'The id of whom the money comes from outside.';
comment on column app_public.subscriptions.quantity is 'How many are subscribed to.';
comment on column app_public.subscriptions.move_number is 'How many moves it has made.';
comment on column app_public.subscriptions.anchor_at is 'The moment from which on periods are counted.';
comment on column app_public.subscriptions.anchor_number is '@behavior -*';
comment on column app_public.subscriptions.period_number is 'How many periods have been invoiced.';
comment on column app_public.subscriptions.period_starts_at is 'When the present period began.';
comment on column app_public.subscriptions.period_ends_at is 'When it ends, exclusive.';
comment on column app_public.subscriptions.trial_ends_at is 'When its trial ends or ended; null = it had none.';
comment on column app_public.subscriptions.trial_notice_at is '@behavior -*';
comment on column app_public.subscriptions.cancels_at_period_end is 'Whether it ends with the present period.';
comment on column app_public.subscriptions.last_line_number is '@behavior -*';
comment on column app_public.subscriptions.next_action_at is
  'When something is due next: an invoice, another attempt, a notice.';
comment on column app_public.subscriptions.created_by is 'Who made it; null = the ledger itself.';
comment on column app_public.subscriptions.created_at is 'When it was made.';
comment on column app_public.subscriptions.updated_at is 'When anything about it last changed.';
comment on constraint subscriptions_plan_id_fkey on app_public.subscriptions is $$
@fieldName plan
@foreignFieldName subscriptions
@forwardDescription The plan.
@backwardDescription The subscriptions to this plan.
$$;
comment on constraint subscriptions_move_number_fkey on app_public.subscriptions is '@behavior -*';

comment on table app_public.subscription_moves is $$
A move of a subscription from one status to another. Moves are never changed.
$$;
comment on column app_public.subscription_moves.number is $$
@behavior +attribute:orderBy

The place of the move in its history, from 1 on.
$$;
comment on column app_public.subscription_moves.subscription_id is 'The id of the subscription.';
comment on column app_public.subscription_moves.from_status is 'Where it stood; null = before there was any.';
comment on column app_public.subscription_moves.to_status is 'Where it stands since.';
comment on column app_public.subscription_moves.previous_number is '@behavior -*';
comment on column app_public.subscription_moves.reason is 'Why, in words.';
comment on column app_public.subscription_moves.moved_by is 'Who moved it; null = the ledger itself.';
comment on column app_public.subscription_moves.created_at is 'When.';
comment on constraint subscription_moves_subscription_id_fkey on app_public.subscription_moves is $$
@fieldName subscription
@foreignFieldName moves
@forwardDescription The subscription.
@backwardDescription Its history.
$$;
comment on constraint subscription_moves_previous_number_fkey on app_public.subscription_moves is '@behavior -*';

comment on table app_public.subscription_invoices is $$
@behavior +query:resource:connection +type:node

What is asked for a period of a subscription.
$$;
comment on column app_public.subscription_invoices.id is $$
@behavior +attribute:orderBy

The id of the invoice.
$$;
comment on column app_public.subscription_invoices.subscription_id is $$
@behavior +attribute:filterBy

The id of the subscription.
$$;
comment on column app_public.subscription_invoices.status is $$
@behavior +attribute:filterBy

What became of it.
$$;
comment on column app_public.subscription_invoices.period_number is $$
@behavior +attribute:orderBy

The place of its period, from 1 on.
$$;
comment on column app_public.subscription_invoices.period_starts_at is 'When its period begins.';
comment on column app_public.subscription_invoices.period_ends_at is 'When its period ends, exclusive.';
comment on column app_public.subscription_invoices.plan_id is 'The id of the plan at its time.';
comment on column app_public.subscription_invoices.currency is 'The currency.';
comment on column app_public.subscription_invoices.amount is
  'What it asks for, in minor units: the sum of its lines.';
comment on column app_public.subscription_invoices.attempts is 'How often it was tried to have it paid.';
comment on column app_public.subscription_invoices.payment_id is 'The id of the payment that pays it, or is to.';
comment on column app_public.subscription_invoices.due_at is 'When it was due.';
comment on column app_public.subscription_invoices.next_attempt_at is 'When it is tried next.';
comment on column app_public.subscription_invoices.paid_at is 'When it was paid.';
comment on column app_public.subscription_invoices.created_at is 'When it was made.';
comment on column app_public.subscription_invoices.updated_at is 'When it last changed.';
comment on constraint subscription_invoices_subscription_id_fkey on app_public.subscription_invoices is $$
@fieldName subscription
@foreignFieldName invoices
@forwardDescription The subscription.
@backwardDescription Its invoices, one for each period.
$$;
comment on constraint subscription_invoices_plan_id_fkey on app_public.subscription_invoices is $$
@fieldName plan
@foreignFieldName invoices
@forwardDescription The plan that it bills.
@backwardDescription The invoices of its subscriptions.
$$;
comment on constraint subscription_invoices_payment_id_fkey on app_public.subscription_invoices is $$
@fieldName payment
@foreignFieldName subscriptionInvoice
@forwardDescription The payment that pays it, or is to.
@backwardDescription The invoice that it pays, if it pays one.
$$;

comment on table app_public.subscription_invoice_lines is $$
A part of an invoice; without an invoice, of the next one.
$$;
comment on column app_public.subscription_invoice_lines.number is $$
@behavior +attribute:orderBy

Its place among the lines of the subscription, from 1 on.
$$;
comment on column app_public.subscription_invoice_lines.subscription_id is 'The id of the subscription.';
comment on column app_public.subscription_invoice_lines.invoice_id is
  'The id of the invoice; null = it waits for the next one.';
comment on column app_public.subscription_invoice_lines.kind is 'What it is for.';
comment on column app_public.subscription_invoice_lines.amount is
  'The amount, in minor units; a credit is below zero.';
comment on column app_public.subscription_invoice_lines.plan_id is 'The id of the plan that it is counted by.';
comment on column app_public.subscription_invoice_lines.quantity is 'The quantity that it is counted by.';
comment on column app_public.subscription_invoice_lines.starts_at is 'From when on it counts.';
comment on column app_public.subscription_invoice_lines.ends_at is 'Until when it counts, exclusive.';
comment on column app_public.subscription_invoice_lines.created_at is 'When it was added.';
comment on constraint subscription_invoice_lines_subscription_id_fkey on app_public.subscription_invoice_lines is $$
@fieldName subscription
@foreignFieldName lines
@forwardDescription The subscription.
@backwardDescription The parts of its invoices, and of the next one.
$$;
comment on constraint subscription_invoice_lines_invoice_id_fkey on app_public.subscription_invoice_lines is $$
@fieldName invoice
@foreignFieldName lines
@forwardDescription The invoice.
@backwardDescription Its parts.
$$;

comment on table app_public.subscription_charges is $$
An attempt to have an invoice paid. Attempts are never changed.
$$;
comment on column app_public.subscription_charges.number is $$
@behavior +attribute:orderBy

The place of the attempt, from 1 on.
$$;
comment on column app_public.subscription_charges.invoice_id is 'The id of the invoice.';
comment on column app_public.subscription_charges.payment_id is 'The id of the payment that was asked for.';
comment on column app_public.subscription_charges.error_code is
  'The code of the refusal; null = a payment was asked for.';
comment on column app_public.subscription_charges.created_at is 'When.';
comment on constraint subscription_charges_invoice_id_fkey on app_public.subscription_charges is $$
@fieldName invoice
@foreignFieldName charges
@forwardDescription The invoice.
@backwardDescription The attempts to have it paid.
$$;
comment on constraint subscription_charges_payment_id_fkey on app_public.subscription_charges is $$
@fieldName payment
@foreignFieldName subscriptionCharge
@forwardDescription The payment that was asked for.
@backwardDescription The attempt that it is, if it is one.
$$;
--! EndIncluded subscriptions/comments.sql
--! Included webhooks/take_webhook_delivery.sql
/*
 * The next event that an endpoint is to be told of, and what is needed for it; no row if there is nothing to do.
 * The caller names a lease of its own: the endpoint is its until the lease ends, and while it goes on it is
 * prolonged. So an endpoint is told of one event at a time, by one worker, without a database transaction that
 * stays open while the receiver thinks.
 *
 * Whoever gets nothing because it is not the time leaves a job for when it is. A worker that dies leaves the one
 * that was added with its lease.
 */
create or replace function app_private.take_webhook_delivery(tenant_id integer, endpoint_id uuid, lease_id uuid)
returns table (
  event_number bigint,
  event_id uuid,
  attempt integer,
  url text,
  body text,
  secret_ids uuid[],
  secret_ciphertexts bytea[]
)
language plpgsql
volatile
rows 1
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now constant timestamptz := clock_timestamp();
  v_endpoint app_public.webhook_endpoints;
  v_position app_public.webhook_positions;
  v_next bigint;
  v_last bigint;
  v_is_mine boolean;
begin
  select p.* into v_position
  from app_public.webhook_positions p
  where p.tenant_id = take_webhook_delivery.tenant_id and p.endpoint_id = take_webhook_delivery.endpoint_id
  for no key update;
  if not found then
    return;
  end if;
  v_is_mine := v_position.lease_id is not distinct from take_webhook_delivery.lease_id;
  if v_position.lease_expires_at > v_now and not v_is_mine then
    perform app_private.add_delivery_job(v_position.tenant_id, v_position.endpoint_id, v_position.lease_expires_at);
    return;
  end if;

  -- From here on nobody else delivers. What the relay has told of is seen: it was committed before the job that
  -- it added began, or waits for the lock of the position.
  select e.* into v_endpoint
  from app_public.webhook_endpoints e
  where e.tenant_id = v_position.tenant_id and e.id = v_position.endpoint_id;
  select s.last_number into v_last
  from app_private.event_streams s
  where s.tenant_id = v_position.tenant_id;
  if v_endpoint.status = 'enabled' then
    v_next := app_private.next_webhook_event(v_endpoint, v_position.number);
  end if;
  if v_next is null or v_position.next_attempt_at > v_now then
    update app_public.webhook_positions p
    set lease_id = null, lease_expires_at = null,
      number = case when v_next is null and v_endpoint.status = 'enabled' then v_last else p.number end
    where p.tenant_id = v_position.tenant_id and p.endpoint_id = v_position.endpoint_id
      and (p.lease_id is not null or p.number <> v_last);
    if v_next is not null then
      perform app_private.add_delivery_job(v_position.tenant_id, v_position.endpoint_id, v_position.next_attempt_at);
    end if;
    return;
  end if;

  if not v_is_mine or v_position.lease_expires_at < v_now + interval '30 seconds' then
    update app_public.webhook_positions p
    set lease_id = take_webhook_delivery.lease_id, lease_expires_at = v_now + interval '60 seconds'
    where p.tenant_id = v_position.tenant_id and p.endpoint_id = v_position.endpoint_id;
    perform app_private.add_delivery_job(
      v_position.tenant_id, v_position.endpoint_id, v_now + interval '60 seconds');
  end if;
  return query
  select v.number, v.id, v_position.attempts + 1, v_endpoint.url, app_private.webhook_body(v), s.ids, s.ciphertexts
  from app_public.events v
  cross join lateral (
    select array_agg(x.id order by x.created_at desc), array_agg(x.secret_ciphertext::bytea order by x.created_at desc)
    from app_private.webhook_secrets x
    where x.tenant_id = v.tenant_id and x.endpoint_id = v_endpoint.id
      and (x.expires_at is null or x.expires_at > v_now)
  ) s (ids, ciphertexts)
  where v.tenant_id = v_position.tenant_id and v.number = v_next;
end
$$;

grant execute on function app_private.take_webhook_delivery(integer, uuid, uuid) to tallystick_worker;

/*
 * Give an endpoint back although there is more to tell, so that others have their turn; a job goes on with it.
 */
create or replace function app_private.release_webhook_endpoint(tenant_id integer, endpoint_id uuid, lease_id uuid)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  update app_public.webhook_positions p
  set lease_id = null, lease_expires_at = null
  where p.tenant_id = release_webhook_endpoint.tenant_id and p.endpoint_id = release_webhook_endpoint.endpoint_id
    and p.lease_id = release_webhook_endpoint.lease_id;
  if found then
    perform app_private.add_delivery_job(
      release_webhook_endpoint.tenant_id, release_webhook_endpoint.endpoint_id);
  end if;
end
$$;

grant execute on function app_private.release_webhook_endpoint(integer, uuid, uuid) to tallystick_worker;

/*
 * Deliver to an endpoint a little later, because this worker delivers to enough others.
 */
create or replace function app_private.put_off_webhook_job(tenant_id integer, endpoint_id uuid, seconds integer)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select app_private.add_delivery_job(
    put_off_webhook_job.tenant_id, put_off_webhook_job.endpoint_id, clock_timestamp() + make_interval(secs => seconds))
$$;

grant execute on function app_private.put_off_webhook_job(integer, uuid, integer) to tallystick_worker;
--! EndIncluded webhooks/take_webhook_delivery.sql
