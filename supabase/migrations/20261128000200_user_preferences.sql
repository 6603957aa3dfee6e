-- The links of users to a WhatsApp number and a business-scoped user id: one row per user, one user per number or id.
-- The business-scoped user id identifies a person for one business and is part of every message, also of a person who
-- hides the phone number.
--
-- Users link themselves with a one-time code and a tap on their phone: see the migration `linking`. Apart from that, only
-- the service role writes. A user with write access could enter the number of another person and would then see the
-- messages of that person: a server must have verified a number that it links.
--
-- Row-level security is enabled, not forced: forcing applies to the table's owner, which is `postgres` on Supabase and
-- bypasses row-level security in any case.

create table if not exists public.user_preferences (
  user_id uuid primary key references auth.users (id) on delete cascade,
  whatsapp_phone text,
  whatsapp_user_id text,
  whatsapp_waba_id text,
  whatsapp_identity_at timestamptz,
  whatsapp_number_at timestamptz,
  whatsapp_link_state text check (whatsapp_link_state in ('changed', 'added_number', 'added_user_id', 'removed'))
);
comment on column public.user_preferences.whatsapp_phone is
  'E.164 with its plus sign (+16505551234); the digits alone are found too. Written by the service role only.';
comment on column public.user_preferences.whatsapp_user_id is
  'Business-scoped user id (BSUID), as Meta writes it: US.13491208655302741918. Written by the service role only.';
comment on column public.user_preferences.whatsapp_waba_id is
  'The WhatsApp Business Account to which whatsapp_user_id is scoped; null while it is unknown.'
  ' Written by the reply function.';
comment on column public.user_preferences.whatsapp_identity_at is
  'The time of the link: of the message or event that completed or changed it, or of a write by another program.'
  ' Set by reply and by a trigger.';
comment on column public.user_preferences.whatsapp_number_at is
  'The time since which whatsapp_phone belongs to this user; null if the row was inserted with it. An earlier message'
  ' from the number without a user id may be from its former owner. Set by a trigger.';
comment on column public.user_preferences.whatsapp_link_state is
  'Null: as inserted. changed: the number or user id was changed since. added_number, added_user_id: reply added it'
  ' to complete the link. removed: one of the two was removed, and reply adds none. Set by reply and by a trigger.';

-- The reply function looks up a sender by the user id or the number, in both spellings:
-- or=(whatsapp_user_id.eq.…,whatsapp_phone.in.("+16505551234","16505551234")).
create index if not exists user_preferences_whatsapp_phone_idx on public.user_preferences (whatsapp_phone);
create index if not exists user_preferences_whatsapp_user_id_idx on public.user_preferences (whatsapp_user_id);

-- One user per id, except in rows of an older program without a user.
create unique index if not exists user_preferences_whatsapp_user_id_key
  on public.user_preferences (whatsapp_user_id) where user_id is not null;

-- One user per number, in any spelling: the index is on the digits, in the shorter of a number's two spellings.
-- shared/src/meta/phone.rs lists the numbers with two spellings; a test compares the two files.
create unique index if not exists user_preferences_whatsapp_phone_digits_key
  on public.user_preferences ((nullif(regexp_replace(regexp_replace(whatsapp_phone, '[^0-9]', '', 'g'),
    '(?<=^55[0-9]{2})9(?=[6-9][0-9]{7}$)|(?<=^52)1(?=[2-9][0-9]{9}$)|(?<=^54)9(?=(11|[23][0-9])[0-9]{8}$)'
    '|(?<=^229)01(?=[24569][0-9]{7}$)|(?<=^225)(01(?=(0[1-3]|[457][0-3])[0-9]{6}$)|05(?=[04-9][4-6][0-9]{6}$)'
    '|07(?=[04-9][7-9][0-9]{6}$))', ''), ''))) where user_id is not null;

-- Supabase's default privileges grant everything to every role of the API.
revoke all on table public.user_preferences from public, anon, authenticated;
grant select on table public.user_preferences to authenticated;
grant all on table public.user_preferences to service_role;

alter table public.user_preferences enable row level security;
drop policy if exists "A user reads their own preferences" on public.user_preferences;
create policy "A user reads their own preferences" on public.user_preferences
  for select to authenticated using ((select auth.uid()) = user_id);

-- New numbers must be E.164. The digits alone are also accepted: they are found (Meta writes numbers this way), and an
-- older program may store them. A trigger instead of a check, because a check that is "not valid" refuses every update
-- of a row with an older invalid number, which an older program must be able to make.
create or replace function public.user_preferences_whatsapp_phone() returns trigger
language plpgsql set search_path = '' as $$
begin
  -- An older program's value for a missing number; it remains where the column is not nullable.
  if new.whatsapp_phone = '' then
    if not (select attnotnull from pg_attribute where attrelid = tg_relid and attname = 'whatsapp_phone') then
      new.whatsapp_phone := null;
    end if;
  -- An insert has no old row: the old number is null.
  elsif new.whatsapp_phone !~ '^\+?[1-9][0-9]{6,14}$' and new.whatsapp_phone is distinct from old.whatsapp_phone then
    -- Without the number, which would appear in logs.
    raise exception 'whatsapp_phone is not in E.164'
      using errcode = 'check_violation', table = 'user_preferences', column = 'whatsapp_phone',
        hint = 'Write a plus sign, the country code and the number, all digits: +16505551234. No number is null.';
  end if;
  return new;
end
$$;

-- Only the trigger calls the function, and needs no right to do so.
revoke all on function public.user_preferences_whatsapp_phone() from public, anon, authenticated, service_role;

create or replace trigger user_preferences_whatsapp_phone before insert or update on public.user_preferences
  for each row execute function public.user_preferences_whatsapp_phone();

-- New ids must be in Meta's form: letters, digits, dots, underscores and hyphens. A trigger instead of a check, for the
-- same reason as for whatsapp_phone.
create or replace function public.user_preferences_whatsapp_user_id() returns trigger
language plpgsql set search_path = '' as $$
begin
  if new.whatsapp_user_id = '' then
    new.whatsapp_user_id := null;
  -- An insert has no old row: the old id is null.
  elsif new.whatsapp_user_id !~ '^[A-Za-z0-9._-]{1,200}$'
    and new.whatsapp_user_id is distinct from old.whatsapp_user_id then
    -- Without the id, which would appear in logs.
    raise exception 'whatsapp_user_id is not a business-scoped user id'
      using errcode = 'check_violation', table = 'user_preferences', column = 'whatsapp_user_id',
        hint = 'Write it as Meta does, letters, digits, dots, underscores and hyphens, 200 at most:'
          ' US.13491208655302741918. No id is null.';
  end if;
  return new;
end
$$;

-- Only the trigger calls the function, and needs no right to do so.
revoke all on function public.user_preferences_whatsapp_user_id() from public, anon, authenticated, service_role;

create or replace trigger user_preferences_whatsapp_user_id before insert or update on public.user_preferences
  for each row execute function public.user_preferences_whatsapp_user_id();
