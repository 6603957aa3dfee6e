-- Adopts the tables `user_preferences` and `messages` of an older program: changes them to the form that the next
-- migrations create. Without such tables, and when it is applied again, it changes nothing. Every row is preserved. A
-- fault that cannot be corrected is noted (in adoption.notes) and left unchanged; where new rows would be refused, or
-- data would be lost, the migration fails with an error that gives the remedy, and changes nothing. Notes include user
-- ids, never phone numbers.
--
-- On a large table: a change of type and the conversion of integer ids rewrite the table under an exclusive lock.

-- Refuses unrelated tables with the same names.
do $$
declare
  about text;
  missing text;
begin
  for about, missing in
    select name, string_agg(wanted, ', ' order by n) from (values
      ('user_preferences', array['user_id']),
      ('messages', array['id', 'user_id', 'channel', 'role', 'content']),
      ('message_statuses', array['id uuid', 'wamid text', 'status text', 'at timestamp with time zone',
        'error_code integer', 'error_text text', 'phone_number_id text', 'message_id uuid', 'payload jsonb',
        'received_at timestamp with time zone']),
      ('account_events', array['id uuid', 'received_at timestamp with time zone', 'waba_id text',
        'phone_number_id text', 'field text', 'payload jsonb'])
    ) as ours (name, columns) cross join unnest(columns) with ordinality as wanted (wanted, n)
    where to_regclass('public.' || name) is not null and not exists (select 1 from pg_attribute
      where attrelid = to_regclass('public.' || name) and not attisdropped
        and wanted in (attname, attname || ' ' || format_type(atttypid, null)))
    group by name
  loop
    raise exception E'public.% has no column %\n%', about, missing,
      'It is not the table that the migrations make. Rename it, or add the missing columns, and apply again.';
  end loop;
end
$$;

do $$
declare
  doubtful bigint;
begin
  if to_regclass('public.user_preferences') is null then
    return;
  end if;
  perform adoption.close('user_preferences');
  perform adoption.change_type('public.user_preferences', 'user_id', 'uuid');
  alter table public.user_preferences add column if not exists whatsapp_phone text;
  perform adoption.change_type('public.user_preferences', 'whatsapp_phone', 'text');
  perform adoption.adopt_columns('user_preferences', array['whatsapp_user_id text', 'whatsapp_waba_id text',
    'whatsapp_identity_at timestamptz', 'whatsapp_number_at timestamptz', 'whatsapp_link_state text']);
  begin
    alter table public.user_preferences add constraint user_preferences_whatsapp_link_state_check
      check (whatsapp_link_state in ('changed', 'added_number', 'added_user_id', 'removed'));
  exception when duplicate_object then null;
  end;

  -- One row per user.
  if adoption.key_of('public.user_preferences') is distinct from array['user_id']::name[] then
    select count(*) into doubtful from (
      select 1 from public.user_preferences group by user_id having count(*) > 1 or user_id is null) repeated;
    if doubtful > 0 then
      perform adoption.note('user_preferences',
        format('%s user ids are null or on several rows, so user_id is not made unique', doubtful),
        'Merge the rows, then: alter table public.user_preferences add primary key (user_id);');
      create index if not exists user_preferences_user_id_idx on public.user_preferences (user_id);
    elsif adoption.key_of('public.user_preferences') is null then
      alter table public.user_preferences add primary key (user_id);
    else
      create unique index if not exists user_preferences_user_id_key on public.user_preferences (user_id);
    end if;
  end if;

  -- The user must exist, and deleting the user deletes the row. An older foreign key is left unchanged.
  if not exists (select 1 from pg_constraint join pg_attribute on attrelid = conrelid and attnum = any (conkey)
    where conrelid = 'public.user_preferences'::regclass and contype = 'f' and attname = 'user_id')
  then
    alter table public.user_preferences add constraint user_preferences_user_id_fkey
      foreign key (user_id) references auth.users (id) on delete cascade not valid;
    begin
      alter table public.user_preferences validate constraint user_preferences_user_id_fkey;
    exception when foreign_key_violation then
      perform adoption.note('user_preferences',
        'some rows refer to no user of auth.users; they are preserved, new ones are refused');
    end;
  end if;

  -- `+1 650-555-1234` would never be found. Removing the separators does not change the number.
  begin
    perform adoption.note_rows('user_preferences', 'wrote %s numbers in E.164, without separators',
      $e$update public.user_preferences set whatsapp_phone = regexp_replace(whatsapp_phone, '[^+0-9]', '', 'g')
        where whatsapp_phone ~ '^\s*\+[0-9() ./-]*\s*$' and whatsapp_phone ~ '[^+0-9]'$e$);
  exception when unique_violation then
    perform adoption.note('user_preferences',
      'left the separators in all numbers, because one number also exists without them');
  end;
  -- A missing number or id is null. A number column that is not nullable keeps its empty strings.
  perform adoption.note_rows('user_preferences', 'made %s empty numbers null',
      $e$update public.user_preferences set whatsapp_phone = null where whatsapp_phone = ''$e$)
    from pg_attribute
    where attrelid = 'public.user_preferences'::regclass and attname = 'whatsapp_phone' and not attnotnull;
  perform adoption.note_rows('user_preferences', 'made %s empty ids of WhatsApp null',
    $e$update public.user_preferences set whatsapp_user_id = null where whatsapp_user_id = ''$e$);
  perform adoption.note_rows('user_preferences', '%s numbers are not E.164 and will not be found',
    $e$select user_id from public.user_preferences where whatsapp_phone <> '' and whatsapp_phone !~ '^\+?[1-9][0-9]{6,14}$'$e$);
  perform adoption.note_rows('user_preferences', '%s ids of WhatsApp are none and will not be found',
    $e$select user_id from public.user_preferences where whatsapp_user_id !~ '^[A-Za-z0-9._-]{1,200}$'$e$);

  perform adoption.one_owner('id of WhatsApp', 'user_preferences_whatsapp_user_id_key', 'whatsapp_user_id');
  -- The same expression as in the index of the migration `user_preferences`, where it is explained.
  perform adoption.one_owner('number', 'user_preferences_whatsapp_phone_digits_key',
    $e$nullif(regexp_replace(regexp_replace(whatsapp_phone, '[^0-9]', '', 'g'),
    '(?<=^55[0-9]{2})9(?=[6-9][0-9]{7}$)|(?<=^52)1(?=[2-9][0-9]{9}$)|(?<=^54)9(?=(11|[23][0-9])[0-9]{8}$)'
    '|(?<=^229)01(?=[24569][0-9]{7}$)|(?<=^225)(01(?=(0[1-3]|[457][0-3])[0-9]{6}$)|05(?=[04-9][4-6][0-9]{6}$)'
    '|07(?=[04-9][7-9][0-9]{6}$))', ''), '')$e$);

  -- In the same transaction as `adoption.close`: no reader is ever without access to their own rows.
  grant select on table public.user_preferences to authenticated;
  alter table public.user_preferences enable row level security;
  drop policy if exists "A user reads their own preferences" on public.user_preferences;
  create policy "A user reads their own preferences" on public.user_preferences
    for select to authenticated using ((select auth.uid()) = user_id);
end
$$;

-- `messages` gets neither a foreign key nor constraints on values: the older program may rely on their absence.
do $$
declare
  kind constant text := (select format_type(atttypid, null) from pg_attribute
    where attrelid = to_regclass('public.messages') and attname = 'id' and not attisdropped);
  in_place boolean;
  referrers text;
  dropping text;
  sequence text;
  name text;
  definition text;
  why text;
begin
  if kind is null then
    return;
  end if;
  perform adoption.close('messages');

  -- Row ids are UUIDs: the reply function derives them, so that writing is idempotent.
  if kind <> 'uuid' then
    in_place := kind in ('text', 'character', 'character varying') and not exists (
      select 1 from public.messages where id::text !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$');
    select string_agg(distinct conrelid::regclass::text, ', '),
        string_agg(format('alter table %s drop constraint %I;', conrelid::regclass, conname), ' ')
      into referrers, dropping from pg_constraint where confrelid = 'public.messages'::regclass and contype = 'f';
    if referrers is not null then
      raise exception E'public.messages.id is % and referenced by %\nApply again after: % %', kind, referrers, dropping,
        case when in_place then 'The ids keep their values and become UUIDs: change the columns that referred to them to'
          ' uuid, too, and create the foreign keys again.'
        else 'The ids will be in the column old_id: create the foreign keys again, and let them refer to it.' end;
    elsif in_place then
      perform adoption.change_type('public.messages', 'id', 'uuid');
    else
      perform adoption.note('messages',
        format('ids of type %s moved to the column old_id; every row got a new UUID as id', kind));
      sequence := pg_get_serial_sequence('public.messages', 'id');
      select conname into name from pg_constraint where conrelid = 'public.messages'::regclass and contype = 'p';
      if found then
        execute format('alter table public.messages drop constraint %I', name);
        create unique index messages_old_id_key on public.messages (id);
      end if;
      alter table public.messages rename column id to old_id;
      alter table public.messages add column id uuid not null default gen_random_uuid();
      if sequence is not null then
        -- New rows still take a number from the sequence.
        execute format('grant usage on sequence %s to service_role', sequence);
      end if;
    end if;
  end if;

  -- An enum without the new values, or a limit on the length, would refuse new rows.
  perform adoption.change_type('public.messages', 'user_id', 'uuid');
  perform adoption.change_type('public.messages', ours, 'text') from unnest(array['channel', 'role', 'content']) as ours;
  perform adoption.adopt_columns('messages', array['unanswered_because text', 'created_at timestamptz', 'type text',
    'payload jsonb', 'phone_number_id text', 'wamids text[]', 'refers_to text', 'status text', 'sent_at timestamptz',
    'delivered_at timestamptz', 'read_at timestamptz', 'played_at timestamptz', 'failed_at timestamptz',
    'error_code integer', 'error_text text', 'edited_at timestamptz', 'revoked_at timestamptz']);
  perform adoption.note_rows('messages',
    '%s rows have a status that is none of WhatsApp''s; they keep it, and it is shown',
    $e$select status from public.messages where status not in ('sent', 'delivered', 'read', 'played', 'failed')$e$);
  -- Unknown columns (such as an avatar_id of the older program) must not refuse new rows.
  for name in
    select attname from pg_attribute where attrelid = 'public.messages'::regclass and attnum > 0 and not attisdropped
      and attnotnull and not atthasdef and attidentity = '' and attgenerated = ''
      and attname not in ('id', 'user_id', 'channel', 'role', 'content', 'created_at')
      and attname <> all (coalesce(adoption.key_of('public.messages'), '{}'))
  loop
    perform adoption.note('messages', format('the column %I may be null from now on', name));
    execute format('alter table public.messages alter column %I drop not null', name);
  end loop;

  -- Pagination requires a time in each row. A row without a time is not sorted among the newest.
  perform adoption.note_rows('messages', '%s rows had no created_at and were given the earliest known of their user',
    'update public.messages set created_at = coalesce(of_user, of_all, now())
      from (select user_id, min(created_at) as of_user, min(min(created_at)) over () as of_all
        from public.messages group by user_id) known
      where created_at is null and concat(known.user_id) = concat(messages.user_id)');
  alter table public.messages alter column created_at set default now();
  if exists (select 1 from pg_attribute
    where attrelid = 'public.messages'::regclass and attname = 'created_at' and not attnotnull)
  then
    -- An older program may write an explicit null, as object-relational mappers do, to which no default applies.
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

  if not exists (select 1 from pg_attribute
    where attrelid = 'public.messages'::regclass and attname = 'id' and atthasdef)
  then
    alter table public.messages alter column id set default gen_random_uuid();
  end if;
  update public.messages set id = gen_random_uuid() where id is null;
  alter table public.messages alter column id set not null;
  if adoption.key_of('public.messages') is distinct from array['id']::name[] then
    perform adoption.note_rows('messages', '%s rows shared their id with another and were given a new one',
      'update public.messages set id = gen_random_uuid()
        where exists (select 1 from public.messages other where other.id = messages.id and other.ctid < messages.ctid)');
    if adoption.key_of('public.messages') is null then
      alter table public.messages add primary key (id);
    else
      -- For inserts with `on_conflict=id`, which require a unique index or the primary key.
      create unique index if not exists messages_id_key on public.messages (id);
    end if;
  end if;

  -- Checks may allow only the channels, roles and lengths of the older program. Rows as the reply function writes them,
  -- and as statuses, edits and revokes change them, are inserted into an empty copy without triggers, keys and
  -- policies. A check that refuses one is dropped, with a note of its definition. Any other refusal fails the
  -- migration, because it would refuse every message later.
  create temporary table messages (like public.messages
    including defaults including constraints including generated including identity);
  loop
    begin
      insert into pg_temp.messages (id, user_id, channel, role, content, created_at, unanswered_because,
          type, payload, phone_number_id, wamids, refers_to, edited_at, revoked_at)
        select gen_random_uuid(), gen_random_uuid(), 'whatsapp', role,
          -- Of any length.
          case type when 'text' then repeat('long ', 20000) else 'Hi' end, now(), unanswered_because,
          type, payload, '106540352242922', array['wamid.one'], refers_to, changed_at, changed_at
        from unnest(array['user', 'user', 'assistant'], array[null, 'refused', null]) as rows (role, unanswered_because),
          -- Meta's types, and a future one.
          unnest(array['text', 'image', 'interactive', 'edit', 'revoke', 'unsupported', repeat('new_', 20)]) as type,
          unnest(array['{"raw": {"type": "text"}}', '{}', null]::jsonb[]) as payload,
          unnest(array[null, 'wamid.other']) as refers_to, unnest(array[null, now()]) as changed_at;
      insert into pg_temp.messages (id, user_id, channel, role, content, created_at, type, phone_number_id, wamids,
          status, sent_at, delivered_at, read_at, played_at, failed_at, error_code, error_text)
        select gen_random_uuid(), gen_random_uuid(), 'whatsapp', 'assistant', 'Hi', now(), 'text', phone_number_id, wamids,
          status, at, at, at, at, at, error_code, error_text
        from unnest(array[null, '106540352242922']) as phone_number_id,
          (values (array['wamid.one', 'wamid.two']), (null)) as sent (wamids),
          unnest(array[null, 'sent', 'delivered', 'read', 'played', 'failed']) as status,
          unnest(array[null, now()]) as at, unnest(array[null, 0, 131026]) as error_code,
          unnest(array[null, repeat('long ', 200)]) as error_text;
      exit;
    exception when others then
      get stacked diagnostics why = message_text, name = constraint_name;
    end;
    select pg_get_constraintdef(oid) into definition from pg_constraint
      where conrelid = 'public.messages'::regclass and contype = 'c' and conname = name;
    if not found then
      raise exception E'public.messages refuses rows as the reply function writes them: %\n%', why,
        'Change what refuses them, and apply again. They have an id, a user_id, the channel ''whatsapp'', the role ''user'''
          ' or ''assistant'', a content of any length, a created_at, and the other columns of `messages`, each filled or'
          ' null; columns that it does not have there have their default.';
    end if;
    perform adoption.note('messages', format('dropped the check %I, which refuses our rows: %s', name, definition));
    execute format('alter table pg_temp.messages drop constraint %I', name);
    execute format('alter table public.messages drop constraint %I', name);
  end loop;
  drop table pg_temp.messages;

  -- In the same transaction as `adoption.close`: no reader is ever without access to their own rows.
  grant select on table public.messages to authenticated;
  alter table public.messages enable row level security;
  drop policy if exists "A user reads their own messages" on public.messages;
  create policy "A user reads their own messages" on public.messages
    for select to authenticated using ((select auth.uid()) = user_id);
end
$$;

-- The next migrations need only the notes.
drop function adoption.note_rows(text, text, text), adoption.key_of(regclass), adoption.close(text),
  adoption.change_type(regclass, name, text), adoption.adopt_columns(text, text[]), adoption.one_owner(text, text, text);
