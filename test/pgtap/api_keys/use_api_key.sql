-- Letting a signed request in: what is asked, in which order, and what stays of a refusal.
begin;
select plan(56);

select tests.make_books('acme');
select tests.make_books('other');
select tests.make_api_key('acme', 'open');
select tests.make_api_key('acme', 'bound', allowed_addresses =>
  '{192.0.2.7,198.51.100.0/24,2001:db8:1::/48,2001:db8:2::5,::ffff:203.0.113.0/120}');

create function pg_temp.key(name text) returns uuid language sql as $$ select md5('key acme' || name)::uuid $$;
-- The verdict on a request: a code, or "in".
create function pg_temp.use(
  name text,
  nonce text,
  signed_at timestamptz default clock_timestamp(),
  address text default '192.0.2.7',
  secret_of text default null
) returns text language plpgsql as $$
declare
  v_code text;
begin
  perform tests.become('authenticator');
  select coalesce(u.refusal_code, 'in') into v_code
  from app_hidden.use_api_key(
    pg_temp.key(name), md5('secret ' || pg_temp.key(coalesce(secret_of, name)))::uuid,
    sha256(nonce::bytea), signed_at, address) u;
  perform tests.become_superuser();
  return v_code;
end
$$;

-- Nonces
select is(pg_temp.use('open', 'one'), 'in', 'a request is let in');
select is(pg_temp.use('open', 'one'), 'LG423', 'not twice with one nonce');
select is(pg_temp.use('open', 'two'), 'in', 'with another nonce it is');
select is(pg_temp.use('bound', 'one'), 'in', 'another key may have used the same nonce');
select is(
  (select e.detail from app_private.security_events e where e.kind = 'api_key_refused'),
  jsonb_build_object('apiKeyId', pg_temp.key('open'), 'code', 'LG423'),
  'the refusal is recorded as a security event');
select is(
  (select e.tenant_id from app_private.security_events e where e.kind = 'api_key_refused'), tests.tenant('acme'),
  'of the tenant of the key');

-- Time
select is(pg_temp.use('open', 'time ' || t.shift, clock_timestamp() + t.shift::interval), t.verdict,
  format('a timestamp %s from now is answered %s', t.shift, t.verdict))
from (values
  ('-5 minutes -1 second', 'LG422'), ('-4 minutes -58 seconds', 'in'), ('4 minutes 58 seconds', 'in'),
  ('5 minutes 1 second', 'LG422'), ('infinity', 'LG422'), ('-infinity', 'LG422')
) as t (shift, verdict);
select is(pg_temp.use('open', 'time null', null), 'LG422', 'no timestamp is none');

-- Addresses
select is(pg_temp.use('bound', 'from ' || a.address, clock_timestamp(), a.address), a.verdict,
  format('the address %s is answered %s', a.address, a.verdict))
from (values
  ('192.0.2.7', 'in'), ('192.0.2.8', 'LG424'), ('198.51.100.255', 'in'), ('198.51.101.0', 'LG424'),
  ('2001:db8:1::1', 'in'), ('2001:db8:1:ffff::1', 'in'), ('2001:db8:3::1', 'LG424'),
  ('2001:db8:2::5', 'in'), ('2001:DB8:2:0::5', 'in'), ('2001:db8:2::6', 'LG424'),
  ('::ffff:192.0.2.7', 'in'), ('::FFFF:c000:0207', 'in'), ('::ffff:192.0.2.8', 'LG424'),
  ('203.0.113.9', 'in'), ('::ffff:203.0.113.9', 'in'), ('203.0.114.9', 'LG424'), ('::192.0.2.7', 'LG424'),
  ('', 'LG424'), ('nonsense', 'LG424'), ('192.0.2.7, 10.0.0.1', 'LG424')
) as a (address, verdict);
select is(pg_temp.use('bound', 'from null', clock_timestamp(), null), 'LG424', 'no address is none');
select is(pg_temp.use('open', 'from anywhere', clock_timestamp(), 'nonsense'), 'in',
  'without a list the address is not looked at');
select is(app_private.plain_address(a.given::inet), a.plain::inet, format('%s is %s', a.given, a.plain))
from (values
  ('::ffff:10.0.0.0/104', '10.0.0.0/8'), ('::ffff:0.0.0.0/96', '0.0.0.0/0'), ('::/0', '::/0'),
  ('::ffff:255.255.255.255', '255.255.255.255'), ('10.1.2.3', '10.1.2.3')
) as a (given, plain);

-- Secrets
select is(pg_temp.use('open', 'secret', secret_of => 'bound'), 'LG421', 'the secret of another key does not count');
select is(pg_temp.use('nobody', 'secret'), 'LG421', 'nor does a key that is none');
select tests.as_tenant(tests.tenant('acme'), format(
  'select app_hidden.rotate_api_key(%L, uuidv7(), tests.ciphertext(), 60)', pg_temp.key('open')));
select is(pg_temp.use('open', 'overlap'), 'in', 'after a rotation the old secret counts for a while');
update app_private.api_key_secrets set expires_at = now() where expires_at is not null;
select is(pg_temp.use('open', 'overlap over'), 'LG421', 'and then no longer');

-- Use
select results_eq(
  'select u.last_used_at between now() and clock_timestamp() from app_private.api_key_uses u', array[true, true],
  'when a key was used is noted');
update app_private.api_key_uses set last_used_at = now() - interval '50 seconds';
select pg_temp.use('bound', 'again');
select is(
  (select u.last_used_at from app_private.api_key_uses u where u.api_key_id = pg_temp.key('bound')),
  now() - interval '50 seconds', 'not more often than once a minute');
update app_private.api_key_uses set last_used_at = now() - interval '70 seconds';
select pg_temp.use('bound', 'and again');
select cmp_ok(
  (select u.last_used_at from app_private.api_key_uses u where u.api_key_id = pg_temp.key('bound')),
  '>=', now(), 'but after a minute');

-- The end
update app_private.sessions set expires_at = clock_timestamp() where id = pg_temp.key('bound');
select is(pg_temp.use('bound', 'late'), 'LG425', 'an expired key is not let in');
update app_private.sessions set expires_at = now() + interval '1 day' where id = pg_temp.key('bound');
select is(pg_temp.use('bound', 'late'), 'in', 'a refused request has not used up its nonce');
select tests.as_tenant(tests.tenant('acme'), format('select app_public.revoke_api_key(%L)', pg_temp.key('bound')));
select is(pg_temp.use('bound', 'later'), 'LG425', 'a revoked key is not let in');
select tests.make_api_key('acme', 'of a disabled service');
update app_public.users set status = 'disabled', disabled_at = now()
where id = tests.user_id('of a disabled service');
select is(pg_temp.use('of a disabled service', 'x'), 'LG425', 'nor one whose service is disabled');

-- Pruning
select is(
  (select min(n.expires_at - now()) >= interval '9 minutes' from app_private.api_key_nonces n), true,
  'a nonce stays longer than its timestamp is taken');
update app_private.api_key_nonces set expires_at = now() - interval '1 second'
where api_key_id = pg_temp.key('open');
create temp table nonces as select api_key_id, count(*) from app_private.api_key_nonces group by 1;
select is(app_private.prune_api_keys(3), 3, 'what is past is removed, so much at a time');
select is(
  app_private.prune_api_keys(1000), (select count::integer - 3 from nonces where api_key_id = pg_temp.key('open')),
  'and the rest of it');
select is(
  (select count(*) from app_private.api_key_nonces),
  (select count from nonces where api_key_id = pg_temp.key('bound')),
  'what may come again stays');
select is_empty('select from app_private.api_key_secrets where expires_at is not null', 'ended secrets are removed');

select * from finish();
rollback;
