-- Retention of phone numbers and user ids of WhatsApp outside a user's own rows. docs/PRIVACY.md describes the
-- retention of all data.
--
-- Statuses of messages without a row (registration texts to unlinked senders) are deleted after 30 days, events after
-- 90. Deleting a user also deletes those that contain the user's number or user id. There is no scheduler: each insert
-- deletes some expired rows of its table.

create index if not exists message_statuses_unmatched_idx on public.message_statuses (received_at)
  where message_id is null;

-- Deletes at most 200 expired rows: more than an insert adds, and a bounded delay of the insert. Rows locked by another
-- transaction are left to a later call. The function checks for expired rows first, because most calls find none, and a
-- check is faster than a deletion. Without sequential scans: a plan is cached for the life of the connection, and a
-- plan made for a small table must not scan the whole table when it is large.
create or replace function public.message_statuses_expire() returns trigger
language plpgsql volatile security definer set search_path = '' set jit = off set enable_seqscan = off as $$
begin
  if exists (select from public.message_statuses
      where message_id is null and received_at < now() - interval '30 days') then
    delete from public.message_statuses where id in (
      select id from public.message_statuses
      where message_id is null and received_at < now() - interval '30 days'
      order by received_at limit 200 for update skip locked);
  end if;
  return null;
end
$$;

create or replace function public.account_events_expire() returns trigger
language plpgsql volatile security definer set search_path = '' set jit = off set enable_seqscan = off as $$
begin
  if exists (select from public.account_events where received_at < now() - interval '90 days') then
    delete from public.account_events where id in (
      select id from public.account_events where received_at < now() - interval '90 days'
      order by received_at limit 200 for update skip locked);
  end if;
  return null;
end
$$;

create or replace trigger message_statuses_expire after insert on public.message_statuses
  for each statement execute function public.message_statuses_expire();
create or replace trigger account_events_expire after insert on public.account_events
  for each statement execute function public.account_events_expire();

-- The spellings of one number, as digits: numbers of some countries have two. `PhoneNumber` in shared/src/meta/phone.rs
-- treats them as equal; an additional spelling does no harm here.
create or replace function public.phone_spellings(phone text) returns text[]
language sql immutable set search_path = '' as $$
  select array_agg(distinct spelling) from (
    select regexp_replace(phone, '[^0-9]', '', 'g') as digits
  ) number cross join lateral (values
    (digits),
    -- Brazil: 55, area code, 9.
    (regexp_replace(digits, '^(55..)9(.{8})$', '\1\2')), (regexp_replace(digits, '^(55..)(.{8})$', '\19\2')),
    -- Mexico: 52 1.
    (regexp_replace(digits, '^521(.{10})$', '52\1')), (regexp_replace(digits, '^52(.{10})$', '521\1')),
    -- Argentina: 54 9.
    (regexp_replace(digits, '^549(.{10})$', '54\1')), (regexp_replace(digits, '^54(.{10})$', '549\1')),
    -- Benin, since November 2024: 229 01.
    (regexp_replace(digits, '^22901(.{8})$', '229\1')), (regexp_replace(digits, '^229(.{8})$', '22901\1')),
    -- Ivory Coast, since January 2021: 225 and 01, 05 or 07 before the eight digits.
    (regexp_replace(digits, '^225(?:01|05|07)(.{8})$', '225\1')), (regexp_replace(digits, '^225(.{8})$', '22501\1')),
    (regexp_replace(digits, '^225(.{8})$', '22505\1')), (regexp_replace(digits, '^225(.{8})$', '22507\1'))
  ) spellings (spelling) where digits <> ''
$$;

-- The identifiers of a person in stored JSON: the number in any spelling, the user id, or a wamid, which begins with
-- three bytes (the last is the number's length), the number and the byte 15, in base64. Each as a substring for a fast
-- search, and as an exact regular expression.
create or replace function public.names_of_person(phone text, whatsapp_user_id text)
returns table (part text, pattern text)
language sql stable set search_path = '' as $$
  select spelling, format('(?<![0-9])%s(?![0-9])', spelling) from unnest(public.phone_spellings(phone)) as spelling
  union all
  -- Only base64 characters that do not depend on the following bytes: four characters are three bytes.
  select part, format('wamid\.[A-Za-z0-9+/_-]{3}%s%s', substr('ABCDEFGHIJKLMNOPQRSTUVWXYZ', 1 + length(spelling), 1), part)
    from unnest(public.phone_spellings(phone)) as spelling
    cross join lateral left(encode(convert_to(spelling, 'UTF8') || '\x15', 'base64'), (1 + length(spelling)) * 4 / 3) as part
  union all
  select whatsapp_user_id,
      format('(?<![A-Za-z0-9._-])%s(?![A-Za-z0-9._-])', regexp_replace(whatsapp_user_id, '[^A-Za-z0-9]', '\\\&', 'g'))
    where whatsapp_user_id <> ''
$$;

-- The deletion of a link, with its user or alone, also deletes the statuses without a row and the events that contain
-- its identifiers.
create or replace function public.user_preferences_forget() returns trigger
language plpgsql volatile security definer set search_path = '' set jit = off as $$
declare
  parts text[];
  named text;
begin
  select array_agg('%' || part || '%'), string_agg(pattern, '|') into parts, named
    from deleted cross join lateral public.names_of_person(whatsapp_phone, whatsapp_user_id);
  if named is not null then
    delete from public.message_statuses where message_id is null
      and case when concat_ws(' ', wamid, payload) like any (parts) then concat_ws(' ', wamid, payload) ~ named
        else false end;
    delete from public.account_events
      where case when payload::text like any (parts) then payload::text ~ named else false end;
  end if;
  return null;
end
$$;

create or replace trigger user_preferences_forget after delete on public.user_preferences
  referencing old table as deleted
  for each statement execute function public.user_preferences_forget();

-- Only the triggers call the functions, and need no right to do so.
revoke all on function public.message_statuses_expire() from public, anon, authenticated, service_role;
revoke all on function public.account_events_expire() from public, anon, authenticated, service_role;
revoke all on function public.phone_spellings(text) from public, anon, authenticated, service_role;
revoke all on function public.names_of_person(text, text) from public, anon, authenticated, service_role;
revoke all on function public.user_preferences_forget() from public, anon, authenticated, service_role;
