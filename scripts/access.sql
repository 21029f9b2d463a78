/*
 * Who may do what: each role, schema, relation, sequence and function that the migrations made, with whoever but its
 * owner has a privilege on it, and the policies of each table, their expressions as PostgreSQL prints them.
 * Left out are the schemas of the system and of other tools, and partitions, which inherit no privilege.
 */
with
  schemas as (
    select n.oid, n.nspname, n.nspowner, n.nspacl
      from pg_catalog.pg_namespace n
     where n.nspname !~ '^pg_'
       and n.nspname not in ('information_schema', 'graphile_migrate', 'graphile_worker', 'tap', 'tests')
  ),
  objects (kind, name, owner, acl, oid) as (
    select 'schema', quote_ident(nspname), nspowner, nspacl, oid from schemas
    union all
    select case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
                          when 'f' then 'foreign table' else 'table' end,
           format('%I.%I', s.nspname, c.relname), c.relowner, c.relacl, c.oid
      from pg_catalog.pg_class c join schemas s on s.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and not c.relispartition
    union all
    select case when p.prosecdef then 'definer function' else 'function' end,
           format('%I.%I(%s)', s.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)),
           p.proowner, coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner)), p.oid
      from pg_catalog.pg_proc p join schemas s on s.oid = p.pronamespace
     where not exists (
       select from pg_catalog.pg_depend d
        where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
     )
  ),
  lines (kind, name, n, line) as (
    select kind, name, 0, '' from objects
    union all
    select kind, name, 1, format('%s %s%s', kind, name,
             case when kind = 'table' then (
               select case when not c.relrowsecurity then ': NO ROW LEVEL SECURITY'
                           when not c.relforcerowsecurity then ': NOT FORCED' else '' end
                 from pg_catalog.pg_class c where c.oid = o.oid
             ) end)
      from objects o
    union all
    select o.kind, o.name, 2, format('  %s: %s', lower(a.privilege_type),
             string_agg(
               case when a.grantee = 0 then 'PUBLIC'
                    else replace(pg_catalog.pg_get_userbyid(a.grantee), 'tallystick_', '') end
                 || case when a.is_grantable then ' with grant option' else '' end,
               ' ' order by pg_catalog.pg_get_userbyid(a.grantee)::text))
      from objects o cross join lateral pg_catalog.aclexplode(o.acl) a
     where a.grantee <> o.owner
     group by o.kind, o.name, a.privilege_type
    union all
    select o.kind, o.name, 3, format('  %s of column %I: %s', lower(a.privilege_type), t.attname,
             replace(pg_catalog.pg_get_userbyid(a.grantee), 'tallystick_', ''))
      from objects o
      join pg_catalog.pg_attribute t on t.attrelid = o.oid and t.attnum > 0
      cross join lateral pg_catalog.aclexplode(t.attacl) a
     where o.kind not in ('schema', 'function', 'definer function')
    union all
    select o.kind, o.name, 4, format('  %spolicy %I for %s to %s%s%s',
             case when p.polpermissive then '' else 'restrictive ' end, p.polname,
             case p.polcmd when '*' then 'all' when 'r' then 'select' when 'a' then 'insert'
                           when 'w' then 'update' else 'delete' end,
             (select string_agg(case r when 0 then 'PUBLIC'
                                  else replace(pg_catalog.pg_get_userbyid(r), 'tallystick_', '') end, ' '
                                order by pg_catalog.pg_get_userbyid(r)::text)
                from unnest(p.polroles) as u (r)),
             E'\n    using ' || regexp_replace(pg_catalog.pg_get_expr(p.polqual, p.polrelid), '\s+', ' ', 'g'),
             E'\n    check ' || regexp_replace(pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), '\s+', ' ', 'g'))
      from objects o join pg_catalog.pg_policy p on p.polrelid = o.oid
     where o.kind = 'table'
       -- Every table has it, which test/pgtap/00_schema_rules.sql sees to.
       and not (p.polname = 'owner_all' and p.polroles = array['tallystick_owner'::regrole::oid])
    union all
    select 'role', r.rolname, 1, format('role %s:%s%s', replace(r.rolname, 'tallystick_', ''),
             (select string_agg(' ' || a.name, '' order by a.n)
                from (values (1, r.rolcanlogin, 'login'), (2, r.rolinherit, 'inherit'), (3, r.rolsuper, 'superuser'),
                             (4, r.rolbypassrls, 'bypassrls'), (5, r.rolcreaterole, 'createrole'),
                             (6, r.rolcreatedb, 'createdb'), (7, r.rolreplication, 'replication')) as a (n, has, name)
               where a.has),
             (select ', may become ' || string_agg(
                       replace(pg_catalog.pg_get_userbyid(m.roleid), 'tallystick_', '')
                         || case when m.inherit_option then ' with its rights' else '' end
                         || case when m.admin_option then ' with admin option' else '' end,
                       ' ' order by pg_catalog.pg_get_userbyid(m.roleid)::text)
                from pg_catalog.pg_auth_members m where m.member = r.oid))
      from pg_catalog.pg_roles r where r.rolname like 'tallystick\_%'
  )
select line
  from lines
 order by case kind when 'role' then 0 when 'schema' then 1 when 'table' then 2 when 'view' then 3
                    when 'function' then 9 when 'definer function' then 9 else 5 end,
       name collate "C", n, line collate "C";
