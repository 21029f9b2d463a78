/*
 * One line for each property of each object that the migrations made. Left out: the system's
 * schemas, those of graphile-migrate and graphile-worker and of pgTAP, members of extensions, and
 * partitions, which come and go with the calendar (their parents are here).
 */
with
  schemas as (
    select n.oid, n.nspname, n.nspowner, n.nspacl
      from pg_catalog.pg_namespace n
     where n.nspname !~ '^pg_'
       and n.nspname not in ('information_schema', 'graphile_migrate', 'graphile_worker', 'tap')
  ),
  of_extension as (
    select d.classid, d.objid from pg_catalog.pg_depend d where d.deptype = 'e'
  ),
  relations as (
    select c.*, s.nspname, format('%I.%I', s.nspname, c.relname) as name
      from pg_catalog.pg_class c
      join schemas s on s.oid = c.relnamespace
     where not c.relispartition
       and not exists (
         select from of_extension e where e.classid = 'pg_catalog.pg_class'::regclass and e.objid = c.oid
       )
  ),
  tables as (
    select * from relations where relkind in ('r', 'p', 'v', 'm', 'f', 'c')
  ),
  functions as (
    select p.*, s.nspname,
           format('%I.%I(%s)', s.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)) as name
      from pg_catalog.pg_proc p
      join schemas s on s.oid = p.pronamespace
     where not exists (
       select from of_extension e where e.classid = 'pg_catalog.pg_proc'::regclass and e.objid = p.oid
     )
  ),
  types as (
    select t.*, format('%I.%I', s.nspname, t.typname) as name
      from pg_catalog.pg_type t
      join schemas s on s.oid = t.typnamespace
     where t.typtype in ('e', 'd', 'r')
       and not exists (
         select from of_extension e where e.classid = 'pg_catalog.pg_type'::regclass and e.objid = t.oid
       )
  ),
  grants (object, acl) as (
    select 'schema ' || nspname, coalesce(nspacl, pg_catalog.acldefault('n', nspowner)) from schemas
    union all
    select case when relkind = 'S' then 'sequence ' else 'table ' end || name,
           coalesce(
             relacl,
             pg_catalog.acldefault(case when relkind = 'S' then 's' else 'r' end::"char", relowner)
           )
      from relations where relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    union all
    select 'column ' || t.name || '.' || a.attname, a.attacl
      from tables t join pg_catalog.pg_attribute a on a.attrelid = t.oid where a.attacl is not null
    union all
    select 'function ' || name, coalesce(proacl, pg_catalog.acldefault('f', proowner)) from functions
    union all
    select 'type ' || name, coalesce(typacl, pg_catalog.acldefault('T', typowner)) from types
  ),
  lines (line) as (
    select format('schema %I owner %s', nspname, nspowner::regrole) from schemas
    union all
    select format('extension %I in %s', e.extname, e.extnamespace::regnamespace)
      from pg_catalog.pg_extension e where e.extname <> 'pgtap'
    union all
    select format('grant on %s: %s', g.object, a.item::text)
      from grants g cross join lateral unnest(g.acl) as a (item)
    union all
    select format('default grant of %s in %s on %s: %s', d.defaclrole::regrole,
                  coalesce(nullif(d.defaclnamespace, 0)::regnamespace::text, 'any schema'),
                  d.defaclobjtype, a.item::text)
      from pg_catalog.pg_default_acl d cross join lateral unnest(d.defaclacl) as a (item)
     where d.defaclnamespace = 0 or d.defaclnamespace in (select oid from schemas)

    -- Types.
    union all
    select format('type %s owner %s', name, typowner::regrole) from types
    union all
    select format('type %s is enum (%s)', t.name,
                  (select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
                     from pg_catalog.pg_enum e where e.enumtypid = t.oid))
      from types t where t.typtype = 'e'
    union all
    select format('type %s is domain over %s%s%s', name, pg_catalog.format_type(typbasetype, typtypmod),
                  case when typnotnull then ' not null' else '' end, ' default ' || typdefault)
      from types where typtype = 'd'

    -- Tables, views and composite types.
    union all
    select format('%s %s owner %s%s%s%s%s',
                  case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'c' then 'composite type'
                               when 'f' then 'foreign table' else 'table' end,
                  name, relowner::regrole,
                  case relpersistence when 'u' then ' unlogged' else '' end,
                  case when relrowsecurity then ' rls' else '' end,
                  case when relforcerowsecurity then ' forced' else '' end,
                  ' with (' || array_to_string(reloptions, ', ') || ')')
      from tables
    union all
    select format('table %s partition by %s', name, pg_catalog.pg_get_partkeydef(oid)) from tables where relkind = 'p'
    union all
    select format('column %s.%I #%s %s%s%s%s', t.name, a.attname,
                  row_number() over (partition by t.oid order by a.attnum),
                  pg_catalog.format_type(a.atttypid, a.atttypmod),
                  case when a.attnotnull then ' not null' else '' end,
                  case a.attidentity when 'a' then ' identity always' when 'd' then ' identity by default' else '' end,
                  case a.attgenerated when '' then ' default ' when 's' then ' generated stored ' else ' generated ' end
                    || pg_catalog.pg_get_expr(d.adbin, d.adrelid))
      from tables t
      join pg_catalog.pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
      left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    union all
    select format('constraint %I on %s: %s%s', c.conname, coalesce(t.name, y.name),
                  pg_catalog.pg_get_constraintdef(c.oid),
                  case when c.convalidated then '' else ' (not validated)' end)
      from pg_catalog.pg_constraint c
      left join tables t on t.oid = c.conrelid
      left join types y on y.oid = c.contypid
     where (t.oid is not null or y.oid is not null) and c.conparentid = 0
    union all
    select format('index %s: %s%s', r.name, pg_catalog.pg_get_indexdef(r.oid),
                  case when i.indisvalid then '' else ' (not valid)' end)
      from relations r join pg_catalog.pg_index i on i.indexrelid = r.oid
    union all
    select format('sequence %s owner %s', name, relowner::regrole) from relations where relkind = 'S'
    union all
    select format('statistics %s', pg_catalog.pg_get_statisticsobjdef(x.oid))
      from pg_catalog.pg_statistic_ext x join tables t on t.oid = x.stxrelid
    union all
    select format('trigger %I on %s: %s%s', g.tgname, t.name, pg_catalog.pg_get_triggerdef(g.oid),
                  case g.tgenabled when 'O' then '' else ' enabled=' || g.tgenabled::text end)
      from pg_catalog.pg_trigger g join tables t on t.oid = g.tgrelid where not g.tgisinternal
    union all
    select format('event trigger %I on %s: %s%s', g.evtname, g.evtevent, g.evtfoid::regproc,
                  case g.evtenabled when 'O' then '' else ' enabled=' || g.evtenabled::text end)
      from pg_catalog.pg_event_trigger g
    union all
    select format('policy %I on %s: %s for %s to %s%s%s', p.polname, t.name,
                  case when p.polpermissive then 'permissive' else 'restrictive' end,
                  case p.polcmd when '*' then 'all' when 'r' then 'select' when 'a' then 'insert'
                                when 'w' then 'update' else 'delete' end,
                  (select string_agg(case r when 0 then 'public' else r::regrole::text end, ', '
                                     order by r::regrole::text)
                     from unnest(p.polroles) as u (r)),
                  ' using (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')',
                  ' with check (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')')
      from pg_catalog.pg_policy p join tables t on t.oid = p.polrelid
    union all
    select format('view %s: %s', name,
                  case pg_catalog.current_setting('catalog.bodies') when 'full' then pg_catalog.pg_get_viewdef(oid)
                       else 'sha256 '
                         || left(encode(sha256(convert_to(pg_catalog.pg_get_viewdef(oid), 'UTF8')), 'hex'), 16)
                  end)
      from tables where relkind in ('v', 'm')

    -- Functions.
    union all
    select format('function %s returns %s owner %s language %s %s%s%s parallel %s%s', f.name,
                  pg_catalog.pg_get_function_result(f.oid), f.proowner::regrole, l.lanname,
                  case f.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
                  case when f.proisstrict then ' strict' else '' end,
                  case when f.prosecdef then ' security definer' else '' end,
                  f.proparallel,
                  ' set ' || array_to_string(f.proconfig, ', '))
      from functions f join pg_catalog.pg_language l on l.oid = f.prolang
    union all
    select format('body of %s: %s', name,
                  case when prokind = 'a' then 'aggregate'
                       when pg_catalog.current_setting('catalog.bodies') = 'full'
                         then pg_catalog.pg_get_functiondef(oid)
                       else 'sha256 '
                         || left(encode(sha256(convert_to(pg_catalog.pg_get_functiondef(oid), 'UTF8')), 'hex'), 16)
                  end)
      from functions

    -- Comments.
    union all
    select format('comment on %s %s: %s', i.type, i.identity, quote_literal(d.description))
      from pg_catalog.pg_description d
      cross join lateral pg_catalog.pg_identify_object(d.classoid, d.objoid, d.objsubid) as i
     where (i.schema in (select nspname from schemas)
            or i.type = 'schema' and i.identity in (select nspname from schemas)
            or i.type in ('policy', 'trigger', 'table constraint', 'domain constraint'))
       and not exists (select from of_extension e where e.classid = d.classoid and e.objid = d.objoid)
  )
select line
  from lines
 order by split_part(line, ' ', 1) collate "C", line collate "C";
