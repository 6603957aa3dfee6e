-- Whose WhatsApp number is it: one row a user, one user a number.
--
-- Applies to an empty project and to one that has this table already, keeps every row, and changes
-- nothing when it is applied again. What it cannot put right it notes (adoption.notes, and a warning) and leaves alone;
-- a column whose type it cannot change is an error that says what to do.
-- Notes name user ids, never numbers.
--
-- Only the service role writes. A user who could write a number could write somebody else's, and would
-- then be shown that person's messages: link a number from a server that has seen proof of it.
--
-- Row-level security is enabled, not forced: forcing concerns the table's owner, which is `postgres` on
-- Supabase and bypasses row-level security in any case.

do $$
begin
  if to_regclass('public.user_preferences') is null then
    create table public.user_preferences (
      user_id uuid primary key references auth.users (id) on delete cascade,
      whatsapp_phone text
    );
    -- Supabase's default privileges grant everything to every role of the API.
    revoke all on table public.user_preferences from public, anon, authenticated;
  end if;
end
$$;

-- Old policies. Permissive policies are joined by OR: one old `using (true)` would keep showing every row,
-- whatever the policy below says. Those that reach the API's roles go, with a note that repeats them;
-- restrictive policies can only hide rows, and stay.
do $$
declare
  old record;
begin
  for old in
    select policyname, cmd, roles, qual, with_check
    from pg_catalog.pg_policies
    where schemaname = 'public' and tablename = 'user_preferences' and permissive = 'PERMISSIVE'
      and policyname <> 'A user reads their own preferences'
      and roles && array['public', 'anon', 'authenticated']::name[]
  loop
    perform adoption.note('user_preferences', format('dropped policy %I (for %s to %s, using %s, with check %s)',
      old.policyname, old.cmd, old.roles, coalesce(old.qual, 'none'), coalesce(old.with_check, 'none')));
    execute format('drop policy %I on public.user_preferences', old.policyname);
  end loop;
end
$$;

-- The policy below must not stand in the way when a column's type changes and this is applied again.
drop policy if exists "A user reads their own preferences" on public.user_preferences;

do $$
declare
  -- The digits alone, in the shorter of a number's two spellings: what makes two spellings one number. Which numbers
  -- have two, and why, says shared/src/phone.rs; a test compares the two.
  digits constant text := $e$nullif(regexp_replace(regexp_replace(whatsapp_phone, '[^0-9]', '', 'g'),
    '(?<=^55[0-9]{2})9(?=[6-9][0-9]{7}$)|(?<=^52)1(?=[2-9][0-9]{9}$)|(?<=^54)9(?=(11|[23][0-9])[0-9]{8}$)'
    '|(?<=^229)01(?=[24569][0-9]{7}$)|(?<=^225)(01(?=(0[1-3]|[457][0-3])[0-9]{6}$)|05(?=[04-9][4-6][0-9]{6}$)'
    '|07(?=[04-9][7-9][0-9]{6}$))', ''), '')$e$;
  key_columns name[];
  doubtful bigint;
  clashing uuid[];
begin
  -- The columns. Others that the table may have are not our business.
  if not exists (select 1 from pg_attribute
    where attrelid = 'public.user_preferences'::regclass and attname = 'user_id' and not attisdropped) then
    raise exception E'public.user_preferences has no column user_id\n%',
      'It is not the table this migration knows. Rename it, or add the column, and apply again.';
  end if;
  perform adoption.change_type('public.user_preferences', 'user_id', 'uuid', 'user_id::text::uuid');
  alter table public.user_preferences add column if not exists whatsapp_phone text;
  perform adoption.change_type('public.user_preferences', 'whatsapp_phone', 'text', 'whatsapp_phone::text');

  -- One row a user.
  select array_agg(a.attname order by a.attname) into key_columns
    from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = any (c.conkey)
    where c.conrelid = 'public.user_preferences'::regclass and c.contype = 'p';
  if key_columns is distinct from array['user_id']::name[] then
    select count(*) into doubtful from (
      select 1 from public.user_preferences group by user_id having count(*) > 1 or user_id is null) repeated;
    if doubtful > 0 then
      perform adoption.note('user_preferences',
        format('%s user ids are null or on several rows, so user_id is not made unique', doubtful),
        'Merge the rows, then: alter table public.user_preferences add primary key (user_id);');
      create index if not exists user_preferences_user_id_idx on public.user_preferences (user_id);
    elsif key_columns is null then
      alter table public.user_preferences add primary key (user_id);
    else
      create unique index if not exists user_preferences_user_id_key on public.user_preferences (user_id);
    end if;
  end if;

  -- The user exists, and takes the row along when deleted. An older foreign key is respected.
  if not exists (
    select 1 from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = any (c.conkey)
    where c.conrelid = 'public.user_preferences'::regclass and c.contype = 'f' and a.attname = 'user_id'
  ) then
    alter table public.user_preferences add constraint user_preferences_user_id_fkey
      foreign key (user_id) references auth.users (id) on delete cascade not valid;
  end if;
  begin
    alter table public.user_preferences validate constraint user_preferences_user_id_fkey;
  exception
    when undefined_object then null; -- The older foreign key has another name.
    when foreign_key_violation then
      perform adoption.note('user_preferences',
        'some rows belong to no user of auth.users; they are kept, new ones are refused');
  end;

  -- `+1 650-555-1234` is a number that nobody would find. Taking the separators out changes no number.
  begin
    update public.user_preferences set whatsapp_phone = regexp_replace(whatsapp_phone, '[^+0-9]', '', 'g')
      where whatsapp_phone ~ '^\s*\+[0-9() ./-]*\s*$' and whatsapp_phone ~ '[^+0-9]';
    get diagnostics doubtful = row_count;
    if doubtful > 0 then
      perform adoption.note('user_preferences', format('wrote %s numbers in E.164, without separators', doubtful));
    end if;
  exception when unique_violation then
    perform adoption.note('user_preferences',
      'left the separators in all numbers, because one number is there without them, too');
  end;

  -- No number is null, as the trigger below makes it from now on.
  if not (select attnotnull from pg_attribute
    where attrelid = 'public.user_preferences'::regclass and attname = 'whatsapp_phone') then
    update public.user_preferences set whatsapp_phone = null where whatsapp_phone = '';
    get diagnostics doubtful = row_count;
    if doubtful > 0 then
      perform adoption.note('user_preferences', format('made %s empty numbers null', doubtful));
    end if;
  end if;

  select count(*) into doubtful from public.user_preferences
    where whatsapp_phone <> '' and whatsapp_phone !~ '^\+?[1-9][0-9]{6,14}$';
  if doubtful > 0 then
    perform adoption.note('user_preferences', format('%s numbers are not E.164 and will not be found', doubtful),
      'select user_id from public.user_preferences where whatsapp_phone !~ ''^\+?[1-9][0-9]{6,14}$'';');
  end if;

  -- One user a number, in any spelling. A row without a user owns none.
  if to_regclass('public.user_preferences_whatsapp_phone_digits_key') is null then
    execute format('select array_agg(distinct user_id) from (
        select user_id, count(*) over (partition by %1$s) as owners from public.user_preferences
        where user_id is not null and %1$s is not null
      ) numbers where owners > 1', digits) into clashing;
    if clashing is null then
      execute format('create unique index user_preferences_whatsapp_phone_digits_key
        on public.user_preferences ((%s)) where user_id is not null', digits);
    else
      -- Not unique yet for these users, but for everybody else.
      execute format('create unique index if not exists user_preferences_whatsapp_phone_digits_partial_key
        on public.user_preferences ((%s)) where user_id is not null and user_id <> all (%L::uuid[])', digits, clashing);
      perform adoption.note('user_preferences', format('one number, several rows; their owners: %s', clashing),
        format('The reply function treats a number with several owners as nobody''s. Decide whose it is, then:'
          ' create unique index user_preferences_whatsapp_phone_digits_key on public.user_preferences ((%s))'
          ' where user_id is not null; drop index public.user_preferences_whatsapp_phone_digits_partial_key;', digits));
    end if;
  end if;
end
$$;

comment on column public.user_preferences.whatsapp_phone is
  'E.164 with its plus sign (+16505551234); the digits alone are found too. Written by the service role only.';

-- New numbers are E.164. The digits alone are let through: they are found (Meta writes numbers so), and an
-- older program may store them. A trigger and not a check, because a check that is "not valid" refuses every
-- change of a row whose number was there before, and an older program must be able to make it.
create or replace function public.user_preferences_whatsapp_phone() returns trigger
language plpgsql set search_path = '' as $$
begin
  -- An older program's spelling of "no number"; where the column cannot hold null, it stays.
  if new.whatsapp_phone = '' then
    if not (select attnotnull from pg_attribute where attrelid = tg_relid and attname = 'whatsapp_phone') then
      new.whatsapp_phone := null;
    end if;
  -- There is no old row in an insert: then the old number is null.
  elsif new.whatsapp_phone !~ '^\+?[1-9][0-9]{6,14}$' and new.whatsapp_phone is distinct from old.whatsapp_phone then
    -- Without the number itself, which would stand in logs.
    raise exception 'whatsapp_phone is not in E.164'
      using errcode = 'check_violation', table = 'user_preferences', column = 'whatsapp_phone',
        hint = 'Write a plus sign, the country code and the number, all digits: +16505551234. No number is null.';
  end if;
  return new;
end
$$;

-- Nobody calls it but the trigger, which asks for no right.
revoke all on function public.user_preferences_whatsapp_phone() from public, anon, authenticated, service_role;

create or replace trigger user_preferences_whatsapp_phone before insert or update on public.user_preferences
  for each row execute function public.user_preferences_whatsapp_phone();

-- The reply function looks a sender up by both spellings: whatsapp_phone in ('+16505551234', '16505551234').
create index if not exists user_preferences_whatsapp_phone_idx on public.user_preferences (whatsapp_phone);

select adoption.revoke_all('public.user_preferences');
grant select on table public.user_preferences to authenticated;
grant all on table public.user_preferences to service_role;

alter table public.user_preferences enable row level security;
create policy "A user reads their own preferences" on public.user_preferences
  for select to authenticated using ((select auth.uid()) = user_id);
