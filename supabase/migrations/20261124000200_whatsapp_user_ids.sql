-- Whose business-scoped user id is it: WhatsApp's name for a person towards one business, which comes with every
-- message, also with those of a person who shows no number. One user an id, as with numbers.
--
-- Applies whether or not `user_preferences` has the column already, keeps every row, and changes nothing when it is
-- applied again. What it cannot put right it notes (adoption.notes, and a warning) and leaves alone; a column whose
-- type it cannot change is an error that says what to do. Notes name user ids, never those of WhatsApp.
--
-- Who may read and write stays as `user_preferences` has it: a user reads their own row, the service role writes.

alter table public.user_preferences add column if not exists whatsapp_user_id text;

comment on column public.user_preferences.whatsapp_user_id is
  'Business-scoped user id (BSUID), as Meta writes it: US.13491208655302741918. Written by the service role only.';

do $$
declare
  kind text;
  required boolean;
  doubtful bigint;
  clashing uuid[];
  depending text;
begin
  select format_type(atttypid, null), attnotnull into kind, required from pg_attribute
    where attrelid = 'public.user_preferences'::regclass and attname = 'whatsapp_user_id' and not attisdropped;
  if kind in ('character varying', 'character') then
    begin
      alter table public.user_preferences alter column whatsapp_user_id type text;
    exception when feature_not_supported then
      get stacked diagnostics depending = pg_exception_detail;
      raise exception E'public.user_preferences.whatsapp_user_id cannot change from % to text: %\n%', kind, sqlerrm,
        'Drop what stands in the way, apply again, and create it for the new type: ' || depending;
    end;
  elsif kind <> 'text' then
    raise exception E'public.user_preferences.whatsapp_user_id is of type %\n%', kind,
      'Rename it, or change it to text in the way that suits its values, and apply again.';
  end if;

  -- Most users have none.
  if required then
    perform adoption.note('user_preferences', 'the column whatsapp_user_id may be null from now on');
    alter table public.user_preferences alter column whatsapp_user_id drop not null;
  end if;
  update public.user_preferences set whatsapp_user_id = null where whatsapp_user_id = '';
  get diagnostics doubtful = row_count;
  if doubtful > 0 then
    perform adoption.note('user_preferences', format('made %s empty ids of WhatsApp null', doubtful));
  end if;

  select count(*) into doubtful from public.user_preferences
    where whatsapp_user_id !~ '^[A-Za-z0-9._-]{1,200}$';
  if doubtful > 0 then
    perform adoption.note('user_preferences', format('%s ids of WhatsApp are none and will not be found', doubtful),
      'select user_id from public.user_preferences where whatsapp_user_id !~ ''^[A-Za-z0-9._-]{1,200}$'';');
  end if;

  -- One user an id. A row without a user owns none.
  if to_regclass('public.user_preferences_whatsapp_user_id_key') is null then
    select array_agg(distinct user_id) into clashing from (
      select user_id, count(*) over (partition by whatsapp_user_id) as owners from public.user_preferences
      where user_id is not null and whatsapp_user_id is not null
    ) ids where owners > 1;
    if clashing is null then
      create unique index user_preferences_whatsapp_user_id_key
        on public.user_preferences (whatsapp_user_id) where user_id is not null;
    else
      -- Not unique yet for these users, but for everybody else.
      execute format('create unique index if not exists user_preferences_whatsapp_user_id_partial_key
        on public.user_preferences (whatsapp_user_id) where user_id is not null and user_id <> all (%L::uuid[])',
        clashing);
      perform adoption.note('user_preferences',
        format('one id of WhatsApp, several rows; their owners: %s', clashing),
        'The reply function treats an id with several owners as nobody''s. Decide whose it is, then: create unique'
        ' index user_preferences_whatsapp_user_id_key on public.user_preferences (whatsapp_user_id)'
        ' where user_id is not null; drop index public.user_preferences_whatsapp_user_id_partial_key;');
    end if;
  end if;
end
$$;

-- New ids are as Meta writes them: letters, digits, dots, underscores and hyphens, in several forms. A trigger and not a
-- check, for the reason given with whatsapp_phone.
create or replace function public.user_preferences_whatsapp_user_id() returns trigger
language plpgsql set search_path = '' as $$
begin
  if new.whatsapp_user_id = '' then
    new.whatsapp_user_id := null;
  -- There is no old row in an insert: then the old id is null.
  elsif new.whatsapp_user_id !~ '^[A-Za-z0-9._-]{1,200}$'
    and new.whatsapp_user_id is distinct from old.whatsapp_user_id then
    -- Without the id itself, which would stand in logs.
    raise exception 'whatsapp_user_id is not a business-scoped user id'
      using errcode = 'check_violation', table = 'user_preferences', column = 'whatsapp_user_id',
        hint = 'Write it as Meta does, letters, digits, dots, underscores and hyphens, 200 at most:'
          ' US.13491208655302741918. No id is null.';
  end if;
  return new;
end
$$;

-- Nobody calls it but the trigger, which asks for no right.
revoke all on function public.user_preferences_whatsapp_user_id() from public, anon, authenticated, service_role;

create or replace trigger user_preferences_whatsapp_user_id before insert or update on public.user_preferences
  for each row execute function public.user_preferences_whatsapp_user_id();

-- The reply function looks a sender up by either: or=(whatsapp_user_id.eq.…,whatsapp_phone.in.(…)).
create index if not exists user_preferences_whatsapp_user_id_idx on public.user_preferences (whatsapp_user_id);
