-- The conversation, a row for each message: what the user wrote and what was answered.
--
-- Applies to an empty project and to one that has this table already, keeps every row, and changes
-- nothing when it is applied again. What it cannot put right it notes (adoption.notes, and a warning) and leaves alone;
-- where our rows would be refused, or something would be lost, it stops instead, and the error says what to do.
--
-- On a large table: a change of type and the conversion of integer ids rewrite it under an exclusive lock,
-- and the index at the end blocks writes while it is built. To avoid the latter, build it beforehand with
-- `create index concurrently messages_user_id_created_at_id_idx on public.messages (user_id, created_at desc, id desc)`;
-- it is then found and kept.
--
-- Users read, the service role writes. Row-level security is enabled, not forced: see user_preferences.

-- An older table gets neither the foreign key nor the constraints on values: its program may count on that.
do $$
begin
  if to_regclass('public.messages') is null then
    create table public.messages (
      id uuid primary key default gen_random_uuid(),
      user_id uuid not null references auth.users (id) on delete cascade,
      channel text not null,
      role text not null check (role in ('user', 'assistant')),
      content text not null,
      created_at timestamptz not null default now(),
      unanswered_because text
    );
    -- Supabase's default privileges grant everything to every role of the API.
    revoke all on table public.messages from public, anon, authenticated;
  end if;
end
$$;

alter table public.messages add column if not exists unanswered_because text;
comment on column public.messages.unanswered_because is
  'Why a user''s message has no answer: the Graph API''s error, when it is final. Null otherwise.';

-- Old policies, dropped for the reason given with user_preferences; and before types change, which a policy
-- on the column would prevent.
do $$
declare
  old record;
begin
  for old in
    select policyname, cmd, roles, qual, with_check
    from pg_catalog.pg_policies
    where schemaname = 'public' and tablename = 'messages' and permissive = 'PERMISSIVE'
      and policyname <> 'A user reads their own messages'
      and roles && array['public', 'anon', 'authenticated']::name[]
  loop
    perform adoption.note('messages', format('dropped policy %I (for %s to %s, using %s, with check %s)',
      old.policyname, old.cmd, old.roles, coalesce(old.qual, 'none'), coalesce(old.with_check, 'none')));
    execute format('drop policy %I on public.messages', old.policyname);
  end loop;
end
$$;

drop policy if exists "A user reads their own messages" on public.messages;

-- Columns and their types.
do $$
declare
  missing text;
  kind text;
  wanted text;
  in_place boolean;
  referrers text;
  dropping text;
  sequence text;
  old_key name;
begin
  select string_agg(name, ', ') into missing from unnest(array['id', 'user_id', 'channel', 'role', 'content']) as name
    where not exists (select 1 from pg_attribute
      where attrelid = 'public.messages'::regclass and attname = name and not attisdropped);
  if missing is not null then
    raise exception E'public.messages has no column %\n%', missing,
      'It is not the table this migration knows. Rename it, or add what is missing, and apply again.';
  end if;

  -- Row ids are UUIDs: the reply function derives them, so that writing twice is writing once.
  select format_type(atttypid, null) into kind from pg_attribute
    where attrelid = 'public.messages'::regclass and attname = 'id' and not attisdropped;
  if kind <> 'uuid' then
    in_place := kind in ('text', 'character', 'character varying') and not exists (
      select 1 from public.messages where id::text !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$');
    select string_agg(distinct conrelid::regclass::text, ', '),
        string_agg(format('alter table %s drop constraint %I;', conrelid::regclass, conname), ' ')
      into referrers, dropping
      from pg_constraint where confrelid = 'public.messages'::regclass and contype = 'f';
    if referrers is not null and in_place then
      raise exception E'public.messages.id is % and referenced by %\n%', kind, referrers,
        format('Apply again after: %s The ids keep their values and become UUIDs: change the columns'
          ' that referred to them to uuid, too, and create the foreign keys again.', dropping);
    elsif referrers is not null then
      raise exception E'public.messages.id is % and referenced by %\n%', kind, referrers,
        format('Apply again after: %s The ids will be in the column old_id: create the foreign keys'
          ' again, and let them refer to it.', dropping);
    elsif in_place then
      perform adoption.change_type('public.messages', 'id', 'uuid', 'id::text::uuid');
    else
      perform adoption.note('messages',
        format('ids of type %s moved to the column old_id; every row got a new UUID as id', kind));
      sequence := pg_get_serial_sequence('public.messages', 'id');
      select conname into old_key from pg_constraint where conrelid = 'public.messages'::regclass and contype = 'p';
      if old_key is not null then
        execute format('alter table public.messages drop constraint %I', old_key);
        create unique index messages_old_id_key on public.messages (id);
      end if;
      alter table public.messages rename column id to old_id;
      alter table public.messages add column id uuid not null default gen_random_uuid();
      if sequence is not null then
        -- New rows still draw a number from it.
        execute format('grant usage on sequence %s to service_role', sequence);
      end if;
    end if;
  end if;

  perform adoption.change_type('public.messages', 'user_id', 'uuid', 'user_id::text::uuid');
  -- An enum without our values and a limit on the length would refuse our rows.
  foreach wanted in array array['channel', 'role', 'content'] loop
    perform adoption.change_type('public.messages', wanted, 'text', format('%I::text', wanted));
  end loop;

  select format_type(atttypid, null) into kind from pg_attribute
    where attrelid = 'public.messages'::regclass and attname = 'created_at' and not attisdropped;
  if kind is null then
    alter table public.messages add column created_at timestamptz;
  elsif kind = 'timestamp without time zone' then
    -- What a database in UTC, as Supabase's are, and `datetime.utcnow()` both write.
    perform adoption.change_type('public.messages', 'created_at', 'timestamp with time zone',
      $e$created_at at time zone 'UTC'$e$);
  elsif kind <> 'timestamp with time zone' then
    raise exception E'public.messages.created_at is of type %\n%', kind,
      'Change it to timestamptz in the way that suits its values, and apply again.';
  end if;
end
$$;

-- Values, defaults, not null and the primary key.
do $$
declare
  name text;
  changed bigint;
  key_columns name[];
begin
  update public.messages set id = gen_random_uuid() where id is null;

  -- When a row was written without a time, it is not among the newest: it goes to the start of what is known
  -- of its user.
  select count(*) into changed from public.messages where created_at is null;
  if changed > 0 then
    update public.messages set created_at = known.earliest
      from (select user_id, min(created_at) as earliest from public.messages group by user_id) known
      where messages.created_at is null and known.user_id = messages.user_id;
    update public.messages set created_at = coalesce((select min(created_at) from public.messages), now())
      where created_at is null;
    perform adoption.note('messages',
      format('%s rows had no created_at and were given the earliest known of their user', changed));
  end if;
  alter table public.messages alter column created_at set default now();
  if not exists (select 1 from pg_attrdef d join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
    where d.adrelid = 'public.messages'::regclass and a.attname = 'id') then
    alter table public.messages alter column id set default gen_random_uuid();
  end if;

  -- A history without ids and times has no order and no pages, and one row without a time would come first in
  -- it (nulls do, in a descending order) and make all of it unreadable. The other columns may be null where an
  -- older table says so: its program may write messages without a text.
  if not (select attnotnull from pg_attribute
    where attrelid = 'public.messages'::regclass and attname = 'created_at') then
    -- An older program may write null by name, as object-relational mappers do, and then no default applies.
    execute $f$
      create or replace function public.messages_created_at() returns trigger
      language plpgsql set search_path = '' as $t$
      begin
        new.created_at := coalesce(old.created_at, now());
        return new;
      end
      $t$
    $f$;
    revoke all on function public.messages_created_at() from public, anon, authenticated, service_role;
    create or replace trigger messages_created_at before insert or update on public.messages
      for each row when (new.created_at is null) execute function public.messages_created_at();
    alter table public.messages alter column created_at set not null;
  end if;
  alter table public.messages alter column id set not null;

  -- Columns we know nothing of (the older program's avatar_id) must not refuse our rows.
  for name in
    select a.attname from pg_attribute a
    where a.attrelid = 'public.messages'::regclass and a.attnum > 0 and not a.attisdropped
      and a.attnotnull and not a.atthasdef and a.attidentity = '' and a.attgenerated = ''
      and a.attname not in ('id', 'user_id', 'channel', 'role', 'content', 'created_at')
      and not exists (select 1 from pg_constraint c
        where c.conrelid = a.attrelid and c.contype = 'p' and a.attnum = any (c.conkey))
  loop
    perform adoption.note('messages', format('the column %I may be null from now on', name));
    execute format('alter table public.messages alter column %I drop not null', name);
  end loop;

  select array_agg(a.attname order by a.attname) into key_columns
    from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = any (c.conkey)
    where c.conrelid = 'public.messages'::regclass and c.contype = 'p';
  if key_columns is distinct from array['id']::name[] then
    update public.messages set id = gen_random_uuid()
      where exists (select 1 from public.messages other where other.id = messages.id and other.ctid < messages.ctid);
    get diagnostics changed = row_count;
    if changed > 0 then
      perform adoption.note('messages',
        format('%s rows shared their id with another and were given a new one', changed));
    end if;
    if key_columns is null then
      alter table public.messages add primary key (id);
    else
      -- Insert with `on_conflict=id`: it names this index or the primary key, whichever there is.
      create unique index if not exists messages_id_key on public.messages (id);
    end if;
  end if;
end
$$;

-- An older table's checks know its own channels, roles and lengths. Rows as the reply function writes them are
-- tried on an empty copy, which has no triggers, keys and policies; a check that refuses one goes, with a note
-- that repeats it. Whatever else refuses one is an error: better now than with every message.
do $$
declare
  why text;
  refusing name;
  definition text;
begin
  create temporary table messages (like public.messages
    including defaults including constraints including generated including identity);
  loop
    begin
      -- An answer may be of any length.
      insert into pg_temp.messages (id, user_id, channel, role, content, created_at)
        select gen_random_uuid(), gen_random_uuid(), 'whatsapp', role, content, now()
        from unnest(array['user', 'assistant']) as role, unnest(array['Hi', repeat('long ', 20000)]) as content;
      exit;
    exception when others then
      get stacked diagnostics why = message_text, refusing = constraint_name;
    end;
    definition := null;
    select pg_get_constraintdef(oid) into definition from pg_constraint
      where conrelid = 'public.messages'::regclass and contype = 'c' and conname = refusing;
    if definition is null then
      raise exception E'public.messages refuses rows as the reply function writes them: %\n%', why,
        'Change what refuses them, and apply again. They have an id, a user_id, the channel ''whatsapp'','
          ' the role ''user'' or ''assistant'', a content of any length and a created_at; other columns have their default.';
    end if;
    perform adoption.note('messages',
      format('dropped the check %I, which refuses our rows: %s', refusing, definition));
    execute format('alter table pg_temp.messages drop constraint %I', refusing);
    execute format('alter table public.messages drop constraint %I', refusing);
  end loop;
  drop table pg_temp.messages;
end
$$;

-- The order in which pages are read, led by the column of the policy.
create index if not exists messages_user_id_created_at_id_idx
  on public.messages (user_id, created_at desc, id desc);

select adoption.revoke_all('public.messages');
grant select on table public.messages to authenticated;
grant all on table public.messages to service_role;

alter table public.messages enable row level security;
create policy "A user reads their own messages" on public.messages
  for select to authenticated using ((select auth.uid()) = user_id);

-- Tools that the next migrations do not need.
drop function adoption.change_type(regclass, name, text, text);
drop function adoption.revoke_all(regclass);
