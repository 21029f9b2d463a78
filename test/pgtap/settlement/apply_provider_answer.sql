/*
 * What a provider says about a payment: every state, in every order, twice, with another amount, another
 * reference, from another provider. Each case makes a payment, brings it where it is to stand, and says it.
 */
begin;
select plan(58);

select tests.make_books('acme');
select tests.make_provider('acme', 'bank');
select tests.make_provider('acme', 'other');

create temp table made (n serial primary key, id uuid) on commit drop;

-- A payment that was handed to its provider.
create function pg_temp.submitted() returns uuid language plpgsql as $$
declare
  v_payment app_public.payments;
begin
  v_payment := app_private.insert_payment(
    app_private.system_actor(tests.tenant('acme')), tests.payment('acme', 'pay_out',
      'ann', 100, provider_code => 'bank'));
  perform app_private.take_settlement(v_payment.tenant_id, v_payment.id, 1);
  insert into made (id) values (v_payment.id);
  return v_payment.id;
end
$$;

create function pg_temp.say(
  id uuid, state text, reference text default null, amount numeric default 100, currency text default 'EUR',
  source text default 'webhook', provider text default 'bank', error text default null
) returns text language sql as $$
  select app_private.apply_provider_answer(
    tests.tenant('acme'), id, state, reference, amount, currency, error, null, source, provider)
$$;

-- What the states of a list, said one after the other, came to, and where the payment stands then.
create function pg_temp.said(variadic states text[]) returns text language plpgsql as $$
declare
  v_id constant uuid := pg_temp.submitted();
  v_said text := '';
  v_state text;
begin
  foreach v_state in array states loop
    v_said := v_said || pg_temp.say(v_id, v_state) || ' ';
  end loop;
  return v_said || (select p.status from app_public.payments p where p.id = v_id);
end
$$;

create function pg_temp.last() returns app_public.payments language sql as $$
  select p from app_public.payments p where p.id = (select m.id from made m order by m.n desc limit 1)
$$;
create function pg_temp.attempt() returns text language sql as $$
  select a.status::text from app_public.payment_attempts a where a.payment_id = (pg_temp.last()).id
$$;

select is(pg_temp.said('submitted'), 'applied submitted', 'what the provider has taken is submitted');
select is(pg_temp.attempt(), 'accepted', 'and its attempt accepted');
select is(pg_temp.said('settled'), 'applied settled', 'what it settles is settled');
select is(pg_temp.attempt(), 'settled', 'and so is its attempt');
select is(pg_temp.said('failed'), 'applied failed', 'what it refuses fails');
select is(pg_temp.attempt(), 'failed', 'and so does its attempt');
select is(pg_temp.said('cancelled'), 'applied cancelled', 'what it cancels is cancelled');
select is(pg_temp.said('settled', 'returned'), 'applied applied returned', 'what comes back is returned');
select is(pg_temp.said('returned'), 'applied returned', 'a return may be told before the settlement');
select is((select count(*)::integer from app_public.payment_moves m where m.payment_id = (pg_temp.last()).id), 5,
  'and the payment has settled in between');

-- Twice, and what is old by then
select is(pg_temp.said('submitted', 'submitted'), 'applied applied submitted', 'taken twice is taken once');
select is(pg_temp.said('settled', 'settled'), 'applied unchanged settled', 'settled twice is settled once');
select is(pg_temp.said('failed', 'failed', 'cancelled'), 'applied unchanged unchanged failed',
  'failed twice is failed once');
select is(pg_temp.said('returned', 'settled', 'returned'), 'applied unchanged unchanged returned',
  'the settlement that is told after the return is no news');
select is(pg_temp.said('settled', 'submitted'), 'applied unchanged settled', 'nor is what was before the settlement');
select is(pg_temp.said('failed', 'submitted'), 'applied unchanged failed', 'nor what was before the failure');

-- Every order of what a provider says about a payment that comes back ends the same
select is(
  (select array_agg(distinct right(pg_temp.said(a.s, b.s, c.s),
    8)) from unnest('{submitted,settled,returned}'::text[]) a (s)
    cross join unnest('{submitted,settled,returned}'::text[]) b (s)
    cross join unnest('{submitted,settled,returned}'::text[]) c (s)
    where a.s <> b.s and b.s <> c.s and a.s <> c.s),
  array['returned'], 'the six orders of submitted, settled and returned end alike');

-- The contrary of what is booked
select is(pg_temp.said('failed', 'settled'), 'applied contradiction failed',
  'settled after it failed is a contradiction');
select is(pg_temp.said('cancelled', 'returned'), 'applied contradiction cancelled', 'and so is returned');
select is(pg_temp.said('settled', 'failed'), 'applied contradiction settled', 'and failed after it settled');
select is(
  (select array_agg(e.detail ->> 'reason') from app_private.security_events e where e.kind = 'provider_answer_doubted'),
  array['contradiction', 'contradiction', 'contradiction'], 'each is a security event');
select is(pg_temp.say((pg_temp.last()).id, 'failed'), 'contradiction', 'said again it is the same');
select is((select count(*)::integer from app_public.dead_letters d where d.subject_id = (pg_temp.last()).id), 1,
  'dead letter');
select is((select count(*)::integer from app_private.security_events e where e.kind = 'provider_answer_doubted'), 3,
  'and no event more');

-- Amounts
select is(pg_temp.say(pg_temp.submitted(), 'settled', amount => 99), 'wrong_amount',
  'a smaller amount does not settle');
select is((pg_temp.last()).status::text, 'submitted', 'the payment stays');
select is(
  (select d.detail ->> 'amount' || ' ' || (d.detail ->> 'expectedAmount') from app_public.dead_letters d
    where d.subject_id = (pg_temp.last()).id), '99 100', 'its dead letter tells both amounts');
select ok(app_private.is_parked(tests.tenant('acme'), (pg_temp.last()).id), 'it goes on no further by itself');
select is(app_private.take_settlement(tests.tenant('acme'), (pg_temp.last()).id, 2), null, 'no call is made for it');
select is(pg_temp.say((pg_temp.last()).id, 'settled'), 'applied', 'the right amount settles it all the same');
select is(pg_temp.say(pg_temp.submitted(), 'settled', amount => 101), 'wrong_amount',
  'a larger amount does not settle');
select is(pg_temp.say(pg_temp.submitted(), 'settled', currency => 'USD'), 'wrong_amount', 'nor another currency');
select is(pg_temp.say(pg_temp.submitted(), 'settled', amount => null), 'wrong_amount', 'nor none');
select is(pg_temp.say(pg_temp.submitted(), 'failed', amount => 0), 'applied',
  'what fails moves nothing, whatever it says');
select is(pg_temp.say(pg_temp.submitted(), 'returned', amount => 60), 'wrong_amount',
  'a part does not return the whole');

-- Names
select is(pg_temp.say(pg_temp.submitted(), 'submitted', 'r1'), 'applied', 'what the provider calls it');
select is((pg_temp.last()).provider_reference, 'r1', 'is noted');
select is(pg_temp.say((pg_temp.last()).id, 'settled', 'r2'), 'wrong_reference', 'another name is doubted');
select is(pg_temp.say((pg_temp.last()).id, 'settled', 'r2', source => 'statement'), 'applied',
  'but for that on a statement');
select is((pg_temp.last()).provider_reference, 'r1', 'which changes the first not');
select is(pg_temp.say(pg_temp.submitted(), 'settled', 'r1'), 'wrong_reference',
  'the name of another payment is doubted');

-- Who says it
select is(pg_temp.say(pg_temp.submitted(), 'settled', provider => 'other'), 'wrong_provider',
  'what another provider says of it is doubted');
select is((pg_temp.last()).status::text, 'submitted', 'and changes nothing');
select throws_ok(
  format('select pg_temp.say(%L, %L)', pg_temp.submitted(), 'perhaps'), 'LG623', null,
    'a state that there is not is refused');
select throws_ok(
  format('select pg_temp.say(%L, %L)', uuidv7(), 'settled'), 'LG601', null, 'and so is a payment that there is not');
insert into made (id)
select (app_private.insert_payment(app_private.system_actor(tests.tenant('acme')),
  tests.payment('acme', 'pay_out', 'ann', 100, provider_code => 'bank'))).id;
select is(pg_temp.say((pg_temp.last()).id, 'settled'), 'contradiction',
  'what was never handed over cannot have settled');
select is(pg_temp.say((pg_temp.last()).id, 'settled', source => 'statement'), 'applied', 'but on a statement it has');

--------------------------------------------------------------------------------------------------
-- Money that has been spent by the time that it is to come back

create function pg_temp.paid_in() returns uuid language plpgsql as $$
declare
  v_payment app_public.payments;
begin
  v_payment := app_private.insert_payment(
    app_private.system_actor(tests.tenant('acme')), tests.payment('acme', 'pay_in',
      'poor', 100, provider_code => 'bank'));
  perform app_private.take_settlement(v_payment.tenant_id, v_payment.id, 1);
  insert into made (id) values (v_payment.id);
  return v_payment.id;
end
$$;
select tests.open_account('acme', 'poor', 'liability', minimum_balance => 0);
select is(pg_temp.say(pg_temp.paid_in(), 'settled'), 'applied', 'money comes in');
select tests.post('acme', 'poor', 'bob', 60);
select is(pg_temp.say((pg_temp.last()).id, 'returned', error => 'MD06'), 'return_refused',
  'and is to come back when it has been spent');
select is((pg_temp.last()).status::text, 'settled', 'the payment stays as it is');
select is(
  (select concat_ws(' ', d.reason, d.detail ->> 'code', d.detail #>> '{refusal,shortBy}', d.detail ->> 'errorCode')
    from app_public.dead_letters d where d.subject_id = (pg_temp.last()).id),
  'return_refused LG202 60 MD06', 'and is left to people, with what is missing');
select is(pg_temp.say((pg_temp.last()).id, 'returned', error => 'MD06'), 'return_refused', 'said again');
select is((select count(*)::integer from app_public.dead_letters d where d.subject_id = (pg_temp.last()).id), 1,
  'it is one matter');
create function pg_temp.rerun() returns text language plpgsql as $$
declare
  v_resolution text;
begin
  perform tests.become('accountant', tests.tenant('acme'), tests.user_id('abe'));
  v_resolution := (app_public.rerun_dead_letter(d.id)).resolution
    from app_public.dead_letters d
    where d.reason = 'return_refused' and d.resolution is null;
  perform tests.become_superuser();
  return v_resolution;
end
$$;
select throws_ok('select pg_temp.rerun()', 'LG202', null, 'whoever tries it again reads why it cannot be');
select tests.become_superuser();
select tests.post('acme', 'cash', 'poor', 60);
select is(pg_temp.rerun(), 'rerun', 'once the money is there');
select is((pg_temp.last()).status::text, 'returned', 'it is returned');
select is(
  (select concat_ws(' ', m.error_code, m.moved_by = tests.user_id('abe')) from app_public.payment_moves m
    where m.payment_id = (pg_temp.last()).id and m.to_status = 'returned'), 'MD06 t', 'in the name of who decided');
select is(pg_temp.say((pg_temp.last()).id, 'returned', error => 'MD06'), 'unchanged', 'and what was said is old news');

select * from finish();
rollback;
