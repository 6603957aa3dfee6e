-- A tool of the migrations that follow, which adopt tables with columns of other types. The last of them,
-- `messages`, takes it away again; to apply them by hand once more, begin here.

create schema if not exists adoption;

-- Changes a column's type. Policies and checks on the column, at which PostgreSQL would stop, are taken down and
-- put up again. Where that is not possible, and for views and the like, it is an error that changes nothing and
-- whose hint says what to do.
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
  hint text;
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
      raise exception '%.% is of type % and holds values that are no %', owner, changed, kind, wanted
        using hint = format('Correct them or delete their rows, and apply again. select * from %s where %I !~*'
          ' ''^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'';', owner, changed);
    when feature_not_supported or undefined_function or datatype_mismatch or cannot_coerce then
      if object is not null then
        hint := format('Apply again after: %s; and then create it for the new type. It was: %s;',
          take_down[object], put_up[object]);
      else
        select 'Drop what stands in the way, apply again, and create it for the new type. On the column depend: '
            || string_agg(distinct pg_describe_object(classid, objid, 0), ', ')
          into hint
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
      raise exception '%.% cannot change from % to %: %', owner, changed, kind, wanted, sqlerrm using hint = hint;
  end;
end
$$;
