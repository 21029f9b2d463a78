/*
 * Encrypted columns: their form, their registry, and the address book of users.
 */
begin;
select plan(13);

create temp view ciphertext_columns as
select c.oid::regclass::text as table_name, a.attname::text as column_name, a.attrelid, a.atttypid
from pg_attribute a
join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p') and not c.relispartition
where c.relnamespace::regnamespace::text in ('app_public', 'app_hidden', 'app_private')
  and a.attnum > 0 and not a.attisdropped
  and (a.attname like '%\_ciphertext' or a.atttypid = 'app_private.ciphertext'::regtype);

select isnt_empty('select * from ciphertext_columns', 'there are encrypted columns');
select is_empty(
  $$select * from ciphertext_columns
    where column_name not like '%\_ciphertext' or atttypid <> 'app_private.ciphertext'::regtype$$,
  'each is of the domain, and called …_ciphertext');
select is_empty(
  $$select c.table_name, c.column_name from ciphertext_columns c
    except select table_name, column_name from app_private.encrypted_columns$$,
  'each is in the registry, so that the rotation reaches it');
select is_empty(
  $$select table_name, column_name from app_private.encrypted_columns
    except select table_name, column_name from ciphertext_columns$$,
  'the registry names no others');
select is_empty(
  $$select e.table_name, e.row_column from app_private.encrypted_columns e
    where not exists (
      select from pg_index i
      where i.indrelid = e.table_name::regclass and i.indisunique and i.indpred is null
        and (
          select array_agg(a.attname::text) from pg_attribute a
          where a.attrelid = i.indrelid and a.attnum = any (i.indkey)
        ) <@ array['tenant_id', e.row_column])$$,
  'a row is named by its column within its tenant');

select lives_ok(
  $$select app_private.stale_ciphertexts(e.table_name, e.column_name, 'k2', 10),
      app_private.stale_ciphertexts(
        e.table_name, e.column_name, 'k2', 10, 1,
        case when r.atttypid = 'uuid'::regtype then '00000000-0000-0000-0000-000000000000' else '0' end),
      app_private.replace_ciphertexts(e.table_name, e.column_name, '{}', '{}', '{}', '{}')
    from app_private.encrypted_columns e
    join pg_attribute r on r.attrelid = e.table_name::regclass and r.attname = e.row_column$$,
  'the rotation can read and write each of them');

--------------------------------------------------------------------------------------------------
-- The form

create function pg_temp.sealed(filler text)
returns app_private.ciphertext
language sql
as $$
  select decode('0102', 'hex') || 'k1'::bytea || sha256(filler::bytea)
$$;

select is(
  app_private.ciphertext_key_id(pg_temp.sealed('x')), 'k1', 'a ciphertext tells its key');
select throws_ok(
  $$select 'ann@example.com, which nobody encrypted'::bytea::app_private.ciphertext$$,
  '23514', null, 'a plaintext is no ciphertext');
select throws_ok(
  $$select 'short'::bytea::app_private.blind_index$$, '23514', null, 'nor a blind index');

--------------------------------------------------------------------------------------------------
-- Users

insert into app_public.users (id, name) values (tests.user_id('ann'), 'Ann'), (tests.user_id('bob'), 'Bob');

select ok(
  app_private.set_user_email(tests.user_id('ann'), pg_temp.sealed('a'), sha256('ann@example.com')),
  'a user is given an address');
select ok(
  not app_private.set_user_email(tests.user_id('bob'), pg_temp.sealed('b'), sha256('ann@example.com')),
  'which is nobody else''s');
select app_private.set_user_phone(tests.user_id('ann'), pg_temp.sealed('c'));
select is(
  app_private.user_id_by_email(sha256('ann@example.com')), tests.user_id('ann'), 'and is found by its index');
select is(app_private.user_id_by_email(sha256('bob@example.com')), null, 'as nobody else is');

select * from finish();
rollback;
