-- Tools of the migrations that follow, which adopt an older program's tables. `messages` takes away those that it is
-- the last to need; to apply the migrations by hand once more, begin here.

-- Not among the schemas that the API exposes.
create schema if not exists adoption;

-- What was changed of older tables or could not be put right: the Supabase CLI shows neither warnings nor hints.
-- `doctor` shows it until somebody deletes it.
create table if not exists adoption.notes (
  id bigint generated always as identity primary key,
  noted_at timestamptz not null default now(),
  -- The table.
  about text not null,
  note text not null,
  -- What to do about it, where something is to be done.
  remedy text
);

comment on table adoption.notes is
  'What the migrations changed of an older program''s tables, or could not put right. Delete what was read.';

revoke all on table adoption.notes from public, anon, authenticated;
grant usage on schema adoption to service_role;
grant select on table adoption.notes to service_role;

-- Says it as a warning, and writes it down, once.
create or replace function adoption.note(about text, note text, remedy text default null)
returns void language plpgsql set search_path = '' as $$
begin
  raise warning '%: %', about, note using hint = coalesce(remedy, 'It is written down in adoption.notes.');
  insert into adoption.notes (about, note, remedy)
    select $1, $2, $3 where not exists (select 1 from adoption.notes known where (known.about, known.note) = ($1, $2));
end
$$;

revoke all on function adoption.note(text, text, text) from public;

-- The notes, for `doctor`: as a call of the API, which does not expose the table.
create or replace function public.adoption_notes()
returns setof adoption.notes language sql stable set search_path = '' as $$
  select * from adoption.notes order by id
$$;

revoke all on function public.adoption_notes() from public, anon, authenticated;
grant execute on function public.adoption_notes() to service_role;

-- Takes a table's rights, and those on its columns, from the API's roles other than the service role, and notes what
-- they could do beside `select` of `authenticated`, which is granted again.
create or replace function adoption.revoke_all(owner regclass)
returns void language plpgsql set search_path = '' as $$
declare
  lost text;
begin
  select string_agg(again, '; ' order by again) into lost from (
    select format('grant %s on %s to %s', string_agg(privilege, ', ' order by privilege), owner, who) as again
    from (
      select case grantee when 0 then 'public' else grantee::regrole::text end as who,
        lower(privilege_type) as privilege
      from pg_class cross join lateral aclexplode(relacl) where oid = owner
      union all
      select case grantee when 0 then 'public' else grantee::regrole::text end,
        format('%s (%I)', lower(privilege_type), attname)
      from pg_attribute cross join lateral aclexplode(attacl) where attrelid = owner and not attisdropped
    ) granted
    where who in ('public', 'anon', 'authenticated') and not (who = 'authenticated' and privilege like 'select%')
    group by who
  ) by_role;
  execute format('revoke all on table %s from public, anon, authenticated', owner);
  if lost is not null then
    perform adoption.note((select relname from pg_class where oid = owner),
      'revoked what the API''s roles could do: ' || lost);
  end if;
end
$$;

-- Changes a column's type. Policies and checks on the column, at which PostgreSQL would stop, are taken down and
-- put up again. Where that is not possible, and for views and the like, it is an error that changes nothing and
-- says what to do.
create or replace function adoption.change_type(owner regclass, changed name, wanted text, conversion text)
returns void language plpgsql set search_path = '' as $$
declare
  number smallint;
  kind text;
  is_enum boolean;
  take_down text[];
  put_up text[];
  -- What is being put up.
  object int;
  remedy text;
begin
  select attnum, format_type(atttypid, null), typtype = 'e' into number, kind, is_enum
    from pg_attribute join pg_type on pg_type.oid = atttypid
    where attrelid = owner and attname = changed and not attisdropped;
  if kind = wanted then
    return;
  end if;

  select coalesce(array_agg(down order by up), '{}'), coalesce(array_agg(up order by up), '{}')
    into take_down, put_up
  from (
    select format('drop policy %I on %s', polname, owner) as down,
      format('create policy %I on %s as %s for %s to %s%s%s', polname, owner,
        case when polpermissive then 'permissive' else 'restrictive' end,
        case polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
          else 'all' end,
        (select string_agg(case role when 0 then 'public' else role::regrole::text end, ', ')
          from unnest(polroles) as role),
        ' using (' || pg_get_expr(polqual, owner) || ')',
        ' with check (' || pg_get_expr(polwithcheck, owner) || ')') as up
    from pg_policy
    where polrelid = owner and exists (select 1 from pg_depend
      where classid = 'pg_policy'::regclass and objid = pg_policy.oid
        and refclassid = 'pg_class'::regclass and refobjid = owner and refobjsubid = number)
    union all
    select format('alter table %s drop constraint %I', owner, conname),
      format('alter table %s add constraint %I %s', owner, conname, pg_get_constraintdef(oid))
    from pg_constraint where conrelid = owner and contype = 'c' and number = any (conkey)
  ) on_the_column;

  begin
    for n in 1 .. cardinality(take_down) loop
      execute take_down[n];
      if is_enum then
        -- role <> 'system'::message_role
        put_up[n] := regexp_replace(put_up[n], '::' || regexp_replace(kind, '\W', '\\\&', 'g') || '(?!\w)',
          '::' || wanted, 'g');
      end if;
    end loop;
    if wanted <> 'text' then
      -- A value of the old type. Where a default is needed, it is set afterwards.
      execute format('alter table %s alter column %I drop default', owner, changed);
    end if;
    execute format('alter table %s alter column %I type %s using %s', owner, changed, wanted, conversion);
    for n in 1 .. cardinality(put_up) loop
      object := n;
      execute put_up[n];
    end loop;
  exception
    when invalid_text_representation then
      -- Without the value itself, which may be anything.
      raise exception E'%.% is of type % and holds values that are no %\n%', owner, changed, kind, wanted,
        format('Correct them or delete their rows, and apply again. select * from %s where %I !~*'
          ' ''^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'';', owner, changed);
    when feature_not_supported or undefined_function or datatype_mismatch or cannot_coerce then
      if object is not null then
        remedy := format('Apply again after: %s; and then create it for the new type. It was: %s;',
          take_down[object], put_up[object]);
      else
        select 'Drop what stands in the way, apply again, and create it for the new type. On the column depend: '
            || string_agg(distinct pg_describe_object(classid, objid, 0), ', ')
          into remedy
        from (
          -- A view depends through the rule that it is made of.
          select case when rule.oid is null then d.classid else 'pg_class'::regclass end as classid,
            coalesce(rule.ev_class, d.objid) as objid
          from pg_depend d left join pg_rewrite rule on d.classid = 'pg_rewrite'::regclass and rule.oid = d.objid
          where d.refclassid = 'pg_class'::regclass and d.refobjid = owner and d.refobjsubid = number
            and not (d.classid = 'pg_attrdef'::regclass
              and d.objid in (select oid from pg_attrdef where adrelid = owner and adnum = number))
        ) depending;
      end if;
      raise exception E'%.% cannot change from % to %: %\n%', owner, changed, kind, wanted, sqlerrm, remedy;
  end;
end
$$;
