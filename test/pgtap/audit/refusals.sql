/*
 * Refused movements of money: as items of a batch in the batch itself, otherwise by the server, after the
 * answer, with the settings of the request.
 */
begin;
select plan(26);

select tests.make_books('acme');
select tests.make_books('other');

create function pg_temp.refused() returns setof app_private.audit_entries language sql stable security definer as $$
  select e.* from app_private.audit_entries e where e.operation = 'refused' order by e.id
$$;
create function pg_temp.events(of_kind text default null)
returns setof app_private.security_events language sql stable security definer as $$
  select e.* from app_private.security_events e where of_kind is null or e.kind = of_kind order by e.id
$$;

--------------------------------------------------------------------------------------------------
-- Items of a batch

select tests.become('teller', tests.tenant('acme'), tests.user_id('tom'));
select set_config('tallystick.request_id', 'request-1', true), set_config('tallystick.address', '2001:db8::1', true);
select count(*) from unnest(app_public.post_transactions(array[
  tests.transfer('acme', 'cash', 'equity', 5), tests.transfer('acme', 'cash', 'equity', 5, idempotency_key => 'twice'),
  tests.transfer('acme', 'cash', 'equity', 5, idempotency_key => 'twice')]));
select is_empty('select id from pg_temp.refused()', 'where nothing is refused, nothing is recorded');
select count(*) from unnest(app_public.post_transactions(array[
  tests.transfer('acme', 'cash', 'equity', 5),
  tests.transfer('acme', 'ann', 'cash', 999999, idempotency_key => 'too much')]));
select is((select count(*) from pg_temp.refused()), 1::bigint,
  'the refused item of a batch is recorded, the other is not');
select is((select after - 'detail' from pg_temp.refused()),
  '{"code": "LG202", "item": "1", "idempotencyKey": "too much"}', 'with its code and its place');
select is((select row_key from pg_temp.refused()), tests.account('acme', 'ann')::text,
  'under the account that refused it');
select is((select concat_ws(' ', user_id, request_role, host(address), request_id) from pg_temp.refused()),
  concat_ws(' ', tests.user_id('tom'), 'tallystick_teller', '2001:db8::1', 'request-1'), 'and who tried');
select throws_ok(
  $$select app_public.post_transactions(array[tests.transfer('acme', 'ann', 'cash', 999999)], 'atomic')$$,
  'LG202', null, 'what is raised rolls back');
select is((select count(*) from pg_temp.refused()), 1::bigint, 'and is recorded by the server alone');

--------------------------------------------------------------------------------------------------
-- What the server records

select app_hidden.record_refusals('[{"code": "LG202", "action": "postTransaction", "isChange": true,
  "detail": {"accountId": "2b1b8a5e-0000-4000-8000-000000000001", "shortfall": "1"}}]');
select is((select after from pg_temp.refused() offset 1),
  '{"code": "LG202", "detail": {"accountId": "2b1b8a5e-0000-4000-8000-000000000001", "shortfall": "1"}}',
  'code and detail of the refusal');
select is((select concat_ws(' ', action, row_key, user_id, tenant_id) from pg_temp.refused() offset 1),
  concat_ws(' ', 'postTransaction', '2b1b8a5e-0000-4000-8000-000000000001', tests.user_id('tom'), tests.tenant('acme')),
  'in the name of the request');
select app_hidden.record_refusals('[{"code": "LG202", "action": "postTransaction", "isChange": true, "user_id": "x",
  "tenant_id": 1, "userId": "00000000-0000-0000-0000-000000000000"}]');
select is((select concat_ws(' ', user_id, tenant_id) from pg_temp.refused() offset 2),
  concat_ws(' ', tests.user_id('tom'), tests.tenant('acme')), 'and in no other, whatever is passed');
select app_hidden.record_refusals(jsonb_build_array(jsonb_build_object(
  'code', 'LG202', 'isChange', true, 'detail', jsonb_build_object('x', repeat('x', 5000)))));
select is((select after ->> 'detail' from pg_temp.refused() offset 3), 'too long', 'a detail is bounded');
select is_empty('select id from pg_temp.events()', 'an ordinary refusal is no security event');

select app_hidden.record_refusals('[{"code": "LG402", "action": "closeAccount", "isChange": true}]');
select is((select count(*) from pg_temp.refused()), 5::bigint, 'what was denied is in the trail');
select is(
  (select concat_ws(' ', kind, severity, tenant_id, user_id, host(address), request_id, detail ->> 'action')
    from pg_temp.events()),
  concat_ws(' ', 'permission_denied', 'warning', tests.tenant('acme'), tests.user_id('tom'), '2001:db8::1', 'request-1',
    'closeAccount'), 'and a security event');
select app_hidden.record_refusals('[{"code": "LG402", "action": "auditEntries"}]');
select is((select count(*) from pg_temp.refused()), 5::bigint, 'a denied reading is no refused change');
select is((select count(*) from pg_temp.events('permission_denied')), 2::bigint, 'but an event');

select tests.become('anonymous');
select app_hidden.record_refusals('[{"code": "LG460", "isChange": true}]');
select is((select count(*) from pg_temp.refused()), 5::bigint, 'nobody has no trail');
select is((select concat_ws(' ', severity, tenant_id, user_id) from pg_temp.events('invalid_token')), 'warning',
  'a bad token is an event of no tenant');
select tests.become('worker');
select throws_ok($$select app_hidden.record_refusals('[]')$$, '42501', null, 'the worker records no refusals');

--------------------------------------------------------------------------------------------------
-- Ids of other books

select tests.become('teller', tests.tenant('acme'), tests.user_id('tom'));
select app_hidden.record_refusals(jsonb_build_array(jsonb_build_object(
  'code', 'LG301', 'isChange', true, 'action', 'freezeAccount', 'ids', jsonb_build_array(uuidv7(), 'no id at all'))));
select is_empty($$select id from pg_temp.events('other_tenant_probe')$$, 'an id that is nowhere is no probe');
select app_hidden.record_refusals(jsonb_build_array(jsonb_build_object(
  'action', 'account', 'ids', jsonb_build_array(tests.account('acme', 'cash')))));
select is_empty($$select id from pg_temp.events('other_tenant_probe')$$, 'nor is one of the own books');
select app_hidden.record_refusals(jsonb_build_array(jsonb_build_object(
  'action', 'account', 'ids', jsonb_build_array(tests.account('acme', 'cash'), tests.account('other', 'cash')))));
select is((select concat_ws(' ', tenant_id, user_id, detail) from pg_temp.events('other_tenant_probe')),
  concat_ws(' ', tests.tenant('acme'), tests.user_id('tom'), jsonb_build_object(
    'table', 'accounts', 'action', 'account', 'ids', jsonb_build_array(tests.account('other', 'cash')))),
  'one of other books is, told of the one who asked');
select is((select count(*) from pg_temp.refused() where action = 'account'), 0::bigint,
  'the trail, which the tenant reads, tells nothing of it');

select count(*) from unnest(app_public.post_transactions(array[tests.item(
  postings => tests.line(tests.account('other', 'ann'), 'debit', 5)
    || tests.line(tests.account('acme', 'cash'), 'credit', 5))]));
select is((select count(*) from pg_temp.events('other_tenant_probe')), 1::bigint,
  'the item of a batch is not looked for in the batch, which could be timed');
select app_hidden.record_refusals('[{"action": "postTransactions", "hasRefusedItems": true}]');
select is((select detail -> 'ids' from pg_temp.events('other_tenant_probe') offset 1),
  jsonb_build_array(tests.account('other', 'ann')), 'but afterwards, by what the trail says of the request');
select set_config('tallystick.request_id', 'request-2', true);
select app_hidden.record_refusals('[{"action": "postTransactions", "hasRefusedItems": true}]');
select is((select count(*) from pg_temp.events('other_tenant_probe')), 2::bigint,
  'of this request, and not of another');

select * from finish();
rollback;
