-- Functions for the next migration, which adopts the tables of an older program, and a table of notes on its changes
-- and on faults that it cannot correct: the Supabase CLI shows neither warnings nor hints. `doctor` shows the notes
-- until they are deleted.

-- Not one of the schemas that the API exposes.
create schema if not exists adoption;
grant usage on schema adoption to service_role;

create table if not exists adoption.notes (
  id bigint generated always as identity primary key,
  noted_at timestamptz not null default now(),
  -- The name of the table.
  about text not null,
  note text not null,
  -- The remedy, if the note requires one.
  remedy text
);
comment on table adoption.notes is
  'Changes of the migrations to the tables of an older program, and faults that they could not correct. Delete notes'
  ' after reading them.';
revoke all on table adoption.notes from public, anon, authenticated;
grant select on table adoption.notes to service_role;

-- Raises a note as a warning, and stores it, once.
create or replace function adoption.note(about text, note text, remedy text default null)
returns void language plpgsql set search_path = '' as $$
begin
  raise warning '%: %', about, note using hint = coalesce(remedy, 'The note is stored in adoption.notes.');
  insert into adoption.notes (about, note, remedy)
    select $1, $2, $3 where not exists (select 1 from adoption.notes known where (known.about, known.note) = ($1, $2));
end
$$;
revoke all on function adoption.note(text, text, text) from public;

-- Returns the notes, for `doctor`: a function, because the API does not expose the table.
create or replace function public.adoption_notes()
returns setof adoption.notes language sql stable set search_path = '' as $$
  select * from adoption.notes order by id
$$;
revoke all on function public.adoption_notes() from public, anon, authenticated;
grant execute on function public.adoption_notes() to service_role;

-- Runs a statement and notes the number of affected rows, if any. A `select` is the remedy of its own note: it shows
-- the rows.
create or replace function adoption.note_rows(about text, note text, statement text)
returns void language plpgsql set search_path = '' as $$
declare
  concerned bigint;
begin
  execute statement;
  get diagnostics concerned = row_count;
  if concerned > 0 then
    perform adoption.note(about, format(note, concerned), case when statement like 'select %' then statement || ';' end);
  end if;
end
$$;

-- Returns the columns of a table's primary key, in the order of their names; null without a primary key.
create or replace function adoption.key_of(owner regclass) returns name[] language sql set search_path = '' as $$
  select array_agg(attname order by attname)
  from pg_constraint join pg_attribute on attrelid = conrelid and attnum = any (conkey)
  where conrelid = owner and contype = 'p'
$$;

-- Restricts a table to the service role; the table's own migration grants rights to users. Permissive policies are
-- combined by OR: an old `using (true)` would still show every row. Restrictive policies can only hide rows, and
-- remain.
create or replace function adoption.close(about text) returns void language plpgsql set search_path = '' as $$
declare
  owner constant regclass := 'public.' || about;
  old record;
  lost text;
begin
  for old in select * from pg_policies where schemaname = 'public' and tablename = about and permissive = 'PERMISSIVE'
    and roles && array['public', 'anon', 'authenticated']::name[]
  loop
    execute format('drop policy %I on %s', old.policyname, owner);
    if old.policyname not in ('A user reads their own preferences', 'A user reads their own messages') then
      perform adoption.note(about, format('dropped policy %I (for %s to %s, using %s, with check %s)',
        old.policyname, old.cmd, old.roles, coalesce(old.qual, 'none'), coalesce(old.with_check, 'none')));
    end if;
  end loop;
  select string_agg(again, '; ' order by again) into lost from (
    select format('grant %s on %s to %s', string_agg(privilege, ', ' order by privilege), owner, who) as again
    from (
      select grantee, lower(privilege_type) as privilege
      from pg_class cross join lateral aclexplode(relacl) where oid = owner
      union all
      select grantee, format('%s (%I)', lower(privilege_type), attname)
      from pg_attribute cross join lateral aclexplode(attacl) where attrelid = owner and not attisdropped
    ) granted cross join lateral (select case grantee when 0 then 'public' else grantee::regrole::text end as who) named
    where who in ('public', 'anon', 'authenticated') and not (who = 'authenticated' and privilege like 'select%')
    group by who
  ) by_role;
  execute format('revoke all on table %s from public, anon, authenticated', owner);
  if lost is not null then
    perform adoption.note(about, 'revoked what the API''s roles could do: ' || lost);
  end if;
end
$$;

-- Changes the type of a column. Policies and checks on the column, which prevent the change, are dropped and created
-- again. Where that is not possible, and for views and the like, the change fails with an error that gives the remedy.
create or replace function adoption.change_type(owner regclass, changed name, wanted text)
returns void language plpgsql set search_path = '' as $$
declare
  number smallint;
  kind text;
  is_enum boolean;
  take_down text[];
  put_up text[];
  -- The index of the object that is being created again.
  object int;
  remedy text;
begin
  select attnum, format_type(atttypid, null), typtype = 'e' into number, kind, is_enum
    from pg_attribute join pg_type on pg_type.oid = atttypid
    where attrelid = owner and attname = changed and not attisdropped;
  if kind = wanted then
    return;
  end if;
  select coalesce(array_agg(down order by up), '{}'), coalesce(array_agg(up order by up), '{}') into take_down, put_up
  from (
    select format('drop policy %I on %s', policyname, owner) as down,
      format('create policy %I on %s as %s for %s to %s%s%s', policyname, owner, lower(permissive), lower(cmd),
        (select string_agg(quote_ident(role), ', ') from unnest(roles) as role),
        ' using (' || qual || ')', ' with check (' || with_check || ')') as up
    from pg_policies where schemaname = 'public' and tablename = (select relname from pg_class where oid = owner)
    union all
    select format('alter table %s drop constraint %I', owner, conname),
      format('alter table %s add constraint %I %s', owner, conname, pg_get_constraintdef(oid))
    from pg_constraint where conrelid = owner and contype = 'c' and number = any (conkey)
  ) objects;
  if is_enum then
    -- role <> 'system'::message_role
    put_up := array(select
      regexp_replace(up, '::' || regexp_replace(kind, '\W', '\\\&', 'g') || '(?!\w)', '::' || wanted, 'g')
      from unnest(put_up) with ordinality as puts (up, n) order by n);
  end if;

  for n in 1 .. cardinality(take_down) loop
    execute take_down[n];
  end loop;
  if wanted = 'uuid' then
    -- The default is of the old type. A required default is set afterwards.
    execute format('alter table %s alter column %I drop default', owner, changed);
  end if;
  -- A time without a zone is in UTC, as Supabase's databases and `datetime.utcnow()` write it.
  execute format('alter table %s alter column %I type %s using ', owner, changed, wanted) || format(case wanted
    when 'uuid' then '%I::text::uuid' when 'timestamp with time zone' then '%I at time zone ''UTC'''
    else '%I::' || wanted end, changed);
  for n in 1 .. cardinality(put_up) loop
    object := n;
    execute put_up[n];
  end loop;
exception
  when invalid_text_representation then
    -- Without the value, which may be personal data.
    raise exception E'%.% is of type % and holds values that are no %\n%', owner, changed, kind, wanted,
      format('Correct them or delete their rows, and apply again. select * from %s where %I !~*'
        ' ''^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'';', owner, changed);
  when feature_not_supported or undefined_function or datatype_mismatch or cannot_coerce then
    remedy := format('Apply again after: %s; and then create it for the new type. It was: %s;', take_down[object], put_up[object]);
    if object is null then
      select 'Drop what stands in the way, apply again, and create it for the new type. On the column depend: '
          || string_agg(distinct case when rule.oid is null then pg_describe_object(d.classid, d.objid, 0)
            -- The dependency of a view is that of its rule.
            else pg_describe_object('pg_class'::regclass, rule.ev_class, 0) end, ', ')
        into remedy
        from pg_depend d left join pg_rewrite rule on d.classid = 'pg_rewrite'::regclass and rule.oid = d.objid
        where d.refclassid = 'pg_class'::regclass and d.refobjid = owner and d.refobjsubid = number
          and not (d.classid = 'pg_attrdef'::regclass
            and d.objid in (select oid from pg_attrdef where adrelid = owner and adnum = number));
    end if;
    raise exception E'%.% cannot change from % to %: %\n%', owner, changed, kind, wanted, sqlerrm, remedy;
end
$$;

-- Adds required columns that a table lacks. Existing ones must have a compatible type; they are changed to the required
-- type and become nullable.
create or replace function adoption.adopt_columns(about text, columns text[])
returns void language plpgsql set search_path = '' as $$
declare
  owner constant regclass := 'public.' || about;
  ours name;
  wanted text;
  kind text;
  is_like_ours boolean;
  is_required boolean;
  reference text;
begin
  for ours, wanted in
    select split_part(item, ' ', 1), split_part(item, ' ', 2)::regtype::text from unnest(columns) as item
  loop
    execute format('alter table %s add column if not exists %I %s', owner, ours, wanted);
    select format_type(atttypid, null), attnotnull,
        typtype = 'e' and wanted = 'text' or format_type(atttypid, null) = any (case wanted
          when 'text' then array['text', 'character varying', 'character'] when 'jsonb' then '{jsonb,json}'
          when 'text[]' then '{text[],character varying[]}' when 'integer' then '{integer,smallint}'
          else '{timestamp with time zone,timestamp without time zone}' end),
        (select conname from pg_constraint where conrelid = owner and contype = 'f' and attnum = any (conkey) limit 1)
      into kind, is_required, is_like_ours, reference
      from pg_attribute join pg_type on pg_type.oid = atttypid
      where attrelid = owner and attname = ours and not attisdropped;
    if not is_like_ours then
      raise exception E'%.% is of type %\n%', owner, ours, kind,
        format('Rename it, or change it to %s with a conversion of its values, and apply again.', wanted);
    elsif reference is not null then
      raise exception E'%.% refers to another table, which does not hold our values\n%', owner, ours, format('Rename the'
        ' column, or drop the foreign key, and apply again: alter table %s drop constraint %I;', owner, reference);
    end if;
    perform adoption.change_type(owner, ours, wanted);
    if is_required and ours <> 'created_at' then
      perform adoption.note(about, format('the column %I may be null from now on', ours));
      execute format('alter table %s alter column %I drop not null', owner, ours);
    end if;
  end loop;
end
$$;

-- Makes an expression on user_preferences unique, except for users that share a value already and for rows without a
-- user.
create or replace function adoption.one_owner(what text, index text, expression text)
returns void language plpgsql set search_path = '' as $$
declare
  making constant text := format(
    'create unique index %I on public.user_preferences ((%s)) where user_id is not null', index, expression);
  clashing uuid[];
begin
  execute format('select array_agg(distinct user_id) from (
      select user_id, count(*) over (partition by %1$s) as owners from public.user_preferences
      where user_id is not null and %1$s is not null
    ) by_value where owners > 1', expression) into clashing;
  if clashing is not null and to_regclass('public.' || index) is null then
    execute format('%s and user_id <> all (%L::uuid[])', making, clashing);
    perform adoption.note('user_preferences', format('one %s, several rows; their owners: %s', what, clashing),
      format('The reply function treats a value with several owners as unlinked. Decide on its owner, then:'
        ' begin; drop index public.%I; %s; commit;', index, making));
  end if;
end
$$;
