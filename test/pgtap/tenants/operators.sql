-- Operators: added and removed by the owner of the database, for the command line.
begin;
select plan(17);

create function pg_temp.hash() returns text language sql as $$
  select '$argon2id$v=19$m=64,t=1,p=1$' || repeat('a', 22) || '$' || repeat('b', 43)
$$;
create function pg_temp.add(id uuid, name text, email text) returns uuid language sql as $$
  select app_private.add_person(
    add.id, add.name, '\x010474657374'::bytea || sha256(convert_to(email, 'UTF8')),
    sha256(convert_to(email, 'UTF8')), pg_temp.hash())
$$;

select is(
  pg_temp.add(tests.user_id('opal'), 'Opal', 'opal'), tests.user_id('opal'), 'a person is added');
select is(
  pg_temp.add(tests.user_id('x'), 'Other', 'opal'), tests.user_id('opal'),
  'who has the address already is taken instead');
select results_eq(
  $$select name from app_public.users where id in (tests.user_id('opal'), tests.user_id('x'))$$,
  array['Opal'], 'and stays as they are');
select throws_ok(
  $$select pg_temp.add(tests.user_id('y'), '', 'y')$$, 'LG114', null, 'a person has a name');

select is(app_private.add_operator(tests.user_id('opal')), true, 'a person is made an operator');
select is(app_private.add_operator(tests.user_id('opal')), false, 'once');
select throws_ok(
  $$select app_private.add_operator(tests.user_id('nobody'))$$, 'LG378', null, 'a user has to be there');
select throws_ok(
  $$select app_private.add_operator('00000000-0000-7000-8000-000000000001')$$, 'LG378', null,
  'a program is no operator');

select tests.make_tenant('acme');
select tests.session_id('customer', tests.tenant('acme'), tests.user_id('opal'));
select tests.become('operator', null, tests.user_id('opal'));
select lives_ok($$select app_public.suspend_tenant('acme')$$, 'an operator acts');
select throws_ok(
  $$select app_private.add_operator(tests.user_id('opal'))$$, '42501', null, 'but makes no operators');
select tests.become_superuser();
create temp table held on commit drop as
select tests.session_id('operator', null, tests.user_id('opal')) as id;
select is(app_private.remove_operator(tests.user_id('opal')), true, 'an operator is removed');
select is(app_private.remove_operator(tests.user_id('opal')), false, 'once');
select is(app_private.remove_operator(null), false, 'nobody is not removed');
select results_eq(
  $$select role from app_private.sessions where user_id = tests.user_id('opal') and revoked_at is null$$,
  $$values ('customer'::app_public.member_role)$$, 'the sessions of the operator end, and no others');
-- Even if the session were open still.
update app_private.sessions set revoked_at = null, revoked_because = null where id = (select id from held);
select set_config('tallystick.user_id', tests.user_id('opal')::text, true),
  set_config('tallystick.session_id', (select id from held)::text, true),
  set_config('role', 'tallystick_operator', true);
select throws_ok($$select app_public.resume_tenant('acme')$$, 'LG401', null, 'and who was one is nobody');
select tests.become_superuser();
select is_empty(
  $$select from app_private.security_events where kind ~ 'operator' and tenant_id is not null$$,
  'both are recorded');
select results_eq(
  $$select kind, detail ->> 'userId' from app_private.security_events where kind ~ 'operator' order by id$$,
  $$values ('operator_added', tests.user_id('opal')::text), ('operator_removed', tests.user_id('opal')::text)$$,
  'for operators to see');
select * from finish();
rollback;
