-- Endpoints of webhooks: made, changed and ended by admins alone, within bounds, and each tenant its own.
begin;
select plan(48);

select tests.make_books('acme');
select tests.make_books('other');

create function pg_temp.create_endpoint(
  url text default 'https://example.com/hook',
  event_kinds text[] default '{payment.*}',
  description text default null,
  id uuid default uuidv7()
) returns uuid language plpgsql as $$
begin
  perform app_hidden.create_webhook_endpoint(
    create_endpoint.id, uuidv7(), tests.ciphertext(), create_endpoint.url, create_endpoint.event_kinds,
    create_endpoint.description);
  return create_endpoint.id;
end
$$;
create temp table made (name text, id uuid);
grant select, insert on made to public;
create function pg_temp.endpoint(name text) returns uuid language sql stable as
  'select m.id from made m where m.name = endpoint.name';
-- Past row level security: what is there, whoever asks.
create function pg_temp.position_of(name text) returns bigint language sql stable security definer
set search_path = pg_catalog, pg_temp as
  'select p.number from app_public.webhook_positions p join made m on m.id = p.endpoint_id where m.name = $1';

-- What is refused
select tests.become('admin', tests.tenant('acme'), tests.user_id('x'));
select throws_ok(format('select pg_temp.create_endpoint(%s)', a.args), a.code, null, a.rule)
from (values
  ('url => null', 'LG720', 'an endpoint has a URL'),
  ('url => ''''', 'LG720', 'that is not empty'),
  ('url => ''ftp://example.com/''', 'LG720', 'that is called over HTTP'),
  ('url => ''https://example.com/ x''', 'LG720', 'without blanks'),
  ('url => ''https://user:secret@example.com/''', 'LG720', 'or somebody''s password'),
  ('url => ''https://a\@example.com/''', 'LG720', 'written in whatever way'),
  ('url => E''https://example.com/\r\nx''', 'LG720', 'nor ends of lines'),
  ('url => ''https://example.com/'' || repeat(''x'', 2000)', 'LG720', 'and not endless'),
  ('event_kinds => null', 'LG721', 'an endpoint listens'),
  ('event_kinds => ''{}''', 'LG721', 'to something'),
  ('event_kinds => ''{payment.made}''', 'LG721', 'that can happen'),
  ('event_kinds => ''{pay*}''', 'LG721', 'a star stands after a dot'),
  ('event_kinds => ''{planet.*}''', 'LG721', 'behind what there are kinds about'),
  ('event_kinds => ''{webhook_endpoint.tested}''', 'LG721', 'that others were tried is not told'),
  ('event_kinds => array[''*'', null]', 'LG721', 'nothing is null'),
  ('event_kinds => array_fill(''*''::text, array[101])', 'LG721', 'nor too many'),
  ('description => ''''', 'LG114', 'a description says something')
) as a (args, code, rule);
select tests.become('accountant', tests.tenant('acme'), tests.user_id('abe'));
select throws_ok('select pg_temp.create_endpoint()', '42501', null, 'an accountant makes none');
select throws_ok('select app_hidden.authorize_webhooks()', '42501', null, 'nor looks up where a URL leads');
select throws_ok('table app_public.webhook_endpoints', '42501', null, 'nor sees any: a URL may hold a token');
select tests.become_superuser();
select tests.as_tenant(tests.tenant('other'),
  'select app_public.revoke_permission(''admin'', ''webhooks.manage'')');
select tests.become('admin', tests.tenant('other'), tests.user_id('x'));
select throws_ok('select pg_temp.create_endpoint()', 'LG402', null, 'nor an admin without the permission');
select throws_ok('select app_hidden.authorize_webhooks()', 'LG402', null, 'who looks up nothing either');
select tests.become_superuser();
select tests.as_tenant(tests.tenant('other'), 'select app_public.grant_permission(''admin'', ''webhooks.manage'')');

-- Made
select app_private.record_event(tests.tenant('acme'), 'payment.settled', uuidv7()) from generate_series(1, 3);
select app_private.relay_events();
select tests.become('admin', tests.tenant('acme'), tests.user_id('x'));
insert into made select 'first', pg_temp.create_endpoint(event_kinds => '{payment.settled,payment.*,payment.settled}');
select results_eq(
  $$select url, event_kinds, status::text, created_by from app_public.webhook_endpoints$$,
  $$values ('https://example.com/hook', '{payment.*,payment.settled}'::text[], 'enabled', tests.user_id('x'))$$,
  'an endpoint is made, and listens to each kind once');
select is(pg_temp.position_of('first'), 3::bigint, 'it is told of what happens from now on');
select tests.become_superuser();
select is(
  (select has_transactions from app_private.event_streams where tenant_id = tests.tenant('acme')), false,
  'no stream holds transactions because of payments');
select tests.become('admin', tests.tenant('acme'), tests.user_id('x'));
insert into made select 'all', pg_temp.create_endpoint(event_kinds => '{*}');
select tests.become_superuser();
select is(
  (select has_transactions from app_private.event_streams where tenant_id = tests.tenant('acme')), true,
  'it does when somebody listens to everything');
select results_eq(
  $$select detail ->> 'change' from app_private.security_events where kind = 'webhook_endpoint_changed'
    and detail ->> 'endpointId' = pg_temp.endpoint('first')::text$$,
  $$values ('created')$$, 'that it was made is a security event');
select results_eq(
  $$select distinct a.after ->> 'secret_ciphertext' from app_private.audit_entries a
    where a.table_name like '%webhook_secrets'$$,
  $$values ('[redacted]')$$, 'and its secret is not in the audit trail');

-- Changed
select tests.become('admin', tests.tenant('acme'), tests.user_id('x'));
select lives_ok(
  $$select app_hidden.update_webhook_endpoint(pg_temp.endpoint('first'), description => 'Shop')$$, 'it is changed');
select results_eq(
  $$select url, event_kinds, description from app_public.webhook_endpoints where id = pg_temp.endpoint('first')$$,
  $$values ('https://example.com/hook', '{payment.*,payment.settled}'::text[], 'Shop')$$,
  'what is left out stays as it is');
select throws_ok(
  $$select app_hidden.update_webhook_endpoint(pg_temp.endpoint('first'), event_kinds => '{x}')$$, 'LG721', null,
  'a change is checked as well');
select throws_ok(
  format('select app_hidden.rotate_webhook_secret(%L, uuidv7(), tests.ciphertext(), %s)',
    pg_temp.endpoint('first'), s.n),
  'LG726', null, format('no secret counts for %s seconds', s.n))
from (values (-1), (604801)) as s (n);
select throws_ok(
  format('select app_public.redeliver_webhook_events(%L, %s)', pg_temp.endpoint('first'), n.number),
  'LG725', null, format('there is no event %s to go on from', n.number))
from (values ('0'), ('5'), ('null')) as n (number);
select lives_ok(
  $$select app_public.redeliver_webhook_events(pg_temp.endpoint('first'), 4)$$, 'but one may go on after the last');
select is((app_public.disable_webhook_endpoint(pg_temp.endpoint('first'))).disabled_because::text, 'by_hand',
  'it is disabled by hand');
select throws_ok(
  $$select app_public.send_test_event(pg_temp.endpoint('first'))$$, 'LG723', null, 'who is disabled is not tried');
select is((app_public.enable_webhook_endpoint(pg_temp.endpoint('first'))).status::text, 'enabled', 'and enabled again');
select is((app_public.archive_webhook_endpoint(pg_temp.endpoint('first'))).status::text, 'archived', 'it is ended');
select throws_ok(
  format('select %s', c.call), 'LG723', null, format('for good: %s', c.call))
from (values
  ('app_public.enable_webhook_endpoint(pg_temp.endpoint(''first''))'),
  ('app_hidden.update_webhook_endpoint(pg_temp.endpoint(''first''), ''https://example.com/'')'),
  ('app_public.archive_webhook_endpoint(pg_temp.endpoint(''first''))')
) as c (call);
select tests.become_superuser();
select is_empty(
  $$select from app_private.webhook_secrets where endpoint_id = pg_temp.endpoint('first')$$,
  'its secrets are gone');

-- Of another tenant
select tests.become('admin', tests.tenant('other'), tests.user_id('x'));
select throws_ok(
  'select app_public.disable_webhook_endpoint(pg_temp.endpoint(''all''))', 'LG722', null,
  'an endpoint of others is as none');
select is_empty('table app_public.webhook_endpoints', 'and not seen');

-- Too many
select tests.become('admin', tests.tenant('other'), tests.user_id('x'));
select count(pg_temp.create_endpoint()) from generate_series(1, 50);
select throws_ok('select pg_temp.create_endpoint()', 'LG724', null, 'a tenant has 50 of them at most');

select * from finish();
rollback;
