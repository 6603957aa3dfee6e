-- Whose WhatsApp number and business-scoped user id is it: one row a user, one user a number or id. The latter is
-- WhatsApp's name for a person towards one business, which comes with every message, also with those of a person who
-- shows no number.
--
-- Only the service role writes. A user who could write a number could write somebody else's, and would then be shown that
-- person's messages: link a number from a server that has seen proof of it.
--
-- Row-level security is enabled, not forced: forcing concerns the table's owner, which is `postgres` on Supabase and
-- bypasses row-level security in any case.

create table if not exists public.user_preferences (
  user_id uuid primary key references auth.users (id) on delete cascade,
  whatsapp_phone text,
  whatsapp_user_id text,
  whatsapp_waba_id text,
  whatsapp_identity_at timestamptz,
  whatsapp_number_at timestamptz,
  whatsapp_link_state text check (whatsapp_link_state in ('changed', 'learned_number', 'learned_user_id', 'removed'))
);
comment on column public.user_preferences.whatsapp_phone is
  'E.164 with its plus sign (+16505551234); the digits alone are found too. Written by the service role only.';
comment on column public.user_preferences.whatsapp_user_id is
  'Business-scoped user id (BSUID), as Meta writes it: US.13491208655302741918. Written by the service role only.';
comment on column public.user_preferences.whatsapp_waba_id is
  'The WhatsApp Business Account towards which whatsapp_user_id names the person; null while it is not known.'
  ' Written by the reply function.';
comment on column public.user_preferences.whatsapp_identity_at is
  'How recent the link is: the time of the message or event that taught it, or when somebody else wrote it.'
  ' Set by reply and by a trigger.';
comment on column public.user_preferences.whatsapp_number_at is
  'Since when whatsapp_phone is this user''s; null if the row was inserted with it. What was written before by the number'
  ' alone may be its former owner''s. Set by a trigger.';
comment on column public.user_preferences.whatsapp_link_state is
  'Null: as it was inserted. changed: number or user id was changed since. learned_number, learned_user_id: reply added'
  ' it. removed: one of the two was taken out, and reply adds nothing. Set by reply and by a trigger.';

-- The reply function looks a sender up by either, the number in both spellings:
-- or=(whatsapp_user_id.eq.…,whatsapp_phone.in.("+16505551234","16505551234")).
create index if not exists user_preferences_whatsapp_phone_idx on public.user_preferences (whatsapp_phone);
create index if not exists user_preferences_whatsapp_user_id_idx on public.user_preferences (whatsapp_user_id);

-- One user an id. A row without a user, of an older program, owns none.
create unique index if not exists user_preferences_whatsapp_user_id_key
  on public.user_preferences (whatsapp_user_id) where user_id is not null;

-- One user a number, in any spelling: the digits alone, in the shorter of a number's two spellings. Which numbers have
-- two, and why, says shared/src/phone.rs; a test compares the two.
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
