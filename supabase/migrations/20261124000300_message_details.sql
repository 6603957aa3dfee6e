-- What a message is and what became of it, beside its text: columns of `messages`, all of which may be null.
--
-- Applies whether or not the table has some of the columns already, keeps every row, and changes nothing when it is
-- applied again. What it cannot put right it notes (adoption.notes, and a warning) and leaves alone; where our rows
-- would be refused, or a column means something else, it stops instead, and the error says what to do.
--
-- On a large table: new columns cost nothing, a change of type rewrites it under an exclusive lock. The indexes at
-- the end hold only rows with these columns, but building them reads the table once and blocks writes meanwhile;
-- `create index concurrently`, with the same names, can be run beforehand once the columns are there.
--
-- Who may read and write stays as `messages` has it.

alter table public.messages
  add column if not exists type text,
  add column if not exists payload jsonb,
  add column if not exists phone_number_id text,
  add column if not exists wamids text[],
  add column if not exists refers_to text,
  add column if not exists status text,
  add column if not exists sent_at timestamptz,
  add column if not exists delivered_at timestamptz,
  add column if not exists read_at timestamptz,
  add column if not exists played_at timestamptz,
  add column if not exists failed_at timestamptz,
  add column if not exists error_code integer,
  add column if not exists error_text text,
  add column if not exists edited_at timestamptz,
  add column if not exists revoked_at timestamptz;

comment on column public.messages.type is
  'Meta''s type of the message: text, image, reaction, …; of an answer: text. Null in rows of older programs.';
comment on column public.messages.payload is
  'Of a message that came by webhook, a user''s or one that the business wrote in its app: "raw", as Meta sent it, and '
  'what was found in it ("media", "quoted", "referral", …); "field", when that is not messages.';
comment on column public.messages.phone_number_id is
  'The business number that received or sent it: Meta''s id of the number.';
comment on column public.messages.wamids is
  'Meta''s ids of it: one of a user''s message, one for each part of a long answer.';
comment on column public.messages.refers_to is
  'Meta''s id of the message that a reaction, an edit or a revoke is about.';
comment on column public.messages.status is
  'How far an answer got: sent, delivered, read, played or failed. From message_statuses; of an answer in parts, the '
  'part that is least far, null while one has no status, and failed when one failed.';
comment on column public.messages.sent_at is
  'When Meta sent it: in parts, the last of them. Null until all were.';
comment on column public.messages.delivered_at is
  'When it reached the phone: in parts, the last of them. Null until all did.';
comment on column public.messages.read_at is
  'When it was read: in parts, the last of them. Null until all were.';
comment on column public.messages.played_at is
  'When it was played, a voice message: in parts, the last of them. Null until all were.';
comment on column public.messages.failed_at is
  'When it, or the first part of it, failed. It stays when the message arrived later on all the same.';
comment on column public.messages.error_code is
  'Meta''s error code of the latest failure. It stays when the message arrived later on all the same: see status.';
comment on column public.messages.error_text is
  'Meta''s text for the latest failure, like error_code.';
comment on column public.messages.edited_at is
  'When its author last edited it, which is a row of its own: type edit, refers_to. The content is the first one.';
comment on column public.messages.revoked_at is
  'When its author deleted it, which is a row of its own: type revoke, refers_to. The content is kept.';

-- Columns of these names that an older table has.
do $$
declare
  ours record;
  kind text;
  is_enum boolean;
  required boolean;
  depending text;
  doubtful bigint;
begin
  for ours in
    select * from (values
      ('type', 'text', 'character varying', 'type::text'),
      ('payload', 'jsonb', 'json', 'payload::jsonb'),
      ('phone_number_id', 'text', 'character varying', 'phone_number_id::text'),
      ('wamids', 'text[]', 'character varying[]', 'wamids::text[]'),
      ('refers_to', 'text', 'character varying', 'refers_to::text'),
      ('status', 'text', 'character varying', 'status::text'),
      ('error_code', 'integer', 'smallint', 'error_code::integer'),
      ('error_text', 'text', 'character varying', 'error_text::text')
      union all
      -- As with created_at: in UTC.
      select name, 'timestamp with time zone', 'timestamp without time zone', name || $e$ at time zone 'UTC'$e$
      from unnest(array['sent_at', 'delivered_at', 'read_at', 'played_at', 'failed_at', 'edited_at', 'revoked_at'])
        as name
    ) as columns (name, wanted, convertible, conversion)
  loop
    select format_type(atttypid, null), typtype = 'e', attnotnull into kind, is_enum, required
      from pg_attribute join pg_type on pg_type.oid = atttypid
      where attrelid = 'public.messages'::regclass and attname = ours.name and not attisdropped;
    if kind = ours.convertible or (ours.wanted = 'text' and (is_enum or kind = 'character')) then
      begin
        execute format('alter table public.messages alter column %I type %s using %s',
          ours.name, ours.wanted, ours.conversion);
      exception when feature_not_supported or undefined_function or datatype_mismatch or cannot_coerce then
        get stacked diagnostics depending = pg_exception_detail;
        raise exception E'public.messages.% cannot change from % to %: %\n%', ours.name, kind, ours.wanted, sqlerrm,
          concat_ws(': ', 'Drop what stands in the way (a view, policy, check or default), apply again,'
            ' and create it for the new type', nullif(depending, ''));
      end;
    elsif kind <> ours.wanted then
      raise exception E'public.messages.% is of type %\n%', ours.name, kind,
        format('It is not the column this migration knows. Rename it, or change it to %s in the way'
          ' that suits its values, and apply again.', ours.wanted);
    end if;
    if required then
      perform adoption.note('messages', format('the column %I may be null from now on', ours.name));
      execute format('alter table public.messages alter column %I drop not null', ours.name);
    end if;
    -- The copy below would not notice it.
    for depending in
      select format('alter table public.messages drop constraint %I;', conname) from pg_constraint
        where conrelid = 'public.messages'::regclass and contype = 'f' and conkey @> (select array[attnum]
          from pg_attribute where attrelid = conrelid and attname = ours.name)
    loop
      raise exception E'public.messages.% refers to another table, which does not hold our values\n%', ours.name,
        'Rename the column, or take the foreign key away, and apply again: ' || depending;
    end loop;
  end loop;

  select count(*) into doubtful from public.messages
    where status not in ('sent', 'delivered', 'read', 'played', 'failed');
  if doubtful > 0 then
    perform adoption.note('messages',
      format('%s rows have a status that is none of WhatsApp''s; they keep it, and it is shown', doubtful),
      'select status, count(*) from public.messages group by status;');
  end if;
end
$$;

-- Rows as the reply function writes them, and as statuses, edits and revokes change them, are tried on an empty
-- copy, as in `messages`: a check that refuses one goes, with a note that repeats it; whatever else refuses one is
-- an error.
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
      insert into pg_temp.messages (id, user_id, channel, role, content, created_at, unanswered_because,
          type, payload, phone_number_id, wamids, refers_to, edited_at, revoked_at)
        select gen_random_uuid(), gen_random_uuid(), 'whatsapp', 'user', 'Hi', now(), unanswered_because,
          type, payload, '106540352242922', array['wamid.one'], refers_to, changed_at, changed_at
        from unnest(array[null, 'refused']) as unanswered_because,
          -- Those that Meta has now, and any that it may add.
          unnest(array['text', 'image', 'interactive', 'edit', 'revoke', 'unsupported', repeat('new_', 20)]) as type,
          unnest(array['{"raw": {"type": "text"}}', '{}', null]::jsonb[]) as payload,
          unnest(array[null, 'wamid.other']) as refers_to, unnest(array[null, now()]) as changed_at;
      insert into pg_temp.messages (id, user_id, channel, role, content, created_at,
          type, payload, phone_number_id, wamids, status, sent_at, delivered_at, read_at, played_at, failed_at,
          error_code, error_text)
        select gen_random_uuid(), gen_random_uuid(), 'whatsapp', 'assistant', 'Hi', now(),
          'text', null, phone_number_id, wamids, status, at, at, at, at, at, error_code, error_text
        from unnest(array[null, '106540352242922']) as phone_number_id,
          (values (array['wamid.one', 'wamid.two']), (null)) as sent (wamids),
          unnest(array[null, 'sent', 'delivered', 'read', 'played', 'failed']) as status,
          unnest(array[null, now()]) as at, unnest(array[null, 0, 131026]) as error_code,
          unnest(array[null, repeat('long ', 200)]) as error_text;
      -- What the business wrote itself.
      insert into pg_temp.messages (id, user_id, channel, role, content, created_at,
          type, payload, phone_number_id, wamids, refers_to)
        select gen_random_uuid(), gen_random_uuid(), 'whatsapp', 'assistant', 'Hi', now(),
          type, '{"field": "smb_message_echoes", "raw": {}}', '106540352242922', array['wamid.echo'], refers_to
        from unnest(array['text', 'image', 'edit', 'revoke']) as type, unnest(array[null, 'wamid.other']) as refers_to;
      exit;
    exception when others then
      get stacked diagnostics why = message_text, refusing = constraint_name;
    end;
    definition := null;
    select pg_get_constraintdef(oid) into definition from pg_constraint
      where conrelid = 'public.messages'::regclass and contype = 'c' and conname = refusing;
    if definition is null then
      raise exception E'public.messages refuses rows as the reply function writes them: %\n%', why,
        'Change what refuses them, and apply again. They have the columns of this migration, each filled'
          ' or null; other columns have their default.';
    end if;
    perform adoption.note('messages',
      format('dropped the check %I, which refuses our rows: %s', refusing, definition));
    execute format('alter table pg_temp.messages drop constraint %I', refusing);
    execute format('alter table public.messages drop constraint %I', refusing);
  end loop;
  drop table pg_temp.messages;
end
$$;

-- Statuses, edits and revokes find their message by it. Each row is looked for soon after it is written: without
-- `fastupdate`, whose list of new entries every look-up would read through.
create index if not exists messages_wamids_idx
  on public.messages using gin (wamids) with (fastupdate = off) where wamids is not null;

-- A message finds the edits and revokes that came before it.
create index if not exists messages_refers_to_idx on public.messages (refers_to) where refers_to is not null;
