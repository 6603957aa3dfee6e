-- The tables of linking: a user links a WhatsApp number, or the user id of a person who hides it, with a one-time code.
-- docs/LINKING.md describes the flow. The functions are in the next migrations.
--
-- For the service role only. The functions run with the rights of their owner, so users need no rights on the tables.

-- Not one of the schemas that the API exposes. Users need the schema for the two functions that they may execute.
create schema if not exists whatsapp;
grant usage on schema whatsapp to authenticated, service_role;

create table if not exists whatsapp.link_codes (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  code_hash bytea not null unique,
  state text not null default 'open' check (state in ('open', 'claimed', 'linked', 'discarded', 'superseded')),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '10 minutes',
  claimed_by bytea,
  claimed_message bytea,
  decided_message bytea,
  moved boolean not null default false
);
comment on table whatsapp.link_codes is 'One-time codes that link a user with a sender. Deleted after a day.';
comment on column whatsapp.link_codes.code_hash is 'SHA-256 of the ten characters; the code itself is not stored.';
comment on column whatsapp.link_codes.state is
  'open: created. claimed: sent from WhatsApp, and the sender was asked. linked, discarded: the answer of the sender.'
  ' superseded: by a newer code, or by the removal of the link.';
comment on column whatsapp.link_codes.claimed_by is
  'The pseudonym of the sender: a keyed hash, see docs/LINKING.md. Only this sender can answer.';
comment on column whatsapp.link_codes.claimed_message is 'The pseudonym of the message that held the code.';
comment on column whatsapp.link_codes.decided_message is 'The pseudonym of the message that answered.';
comment on column whatsapp.link_codes.moved is 'Whether the number or user id was another user''s before.';

-- One code per user that can still link.
create unique index if not exists link_codes_one_per_user on whatsapp.link_codes (user_id)
  where state in ('open', 'claimed');
-- For the limit per user, the deletion of a user, and retention.
create index if not exists link_codes_user_id_created_at_idx on whatsapp.link_codes (user_id, created_at);
create index if not exists link_codes_created_at_idx on whatsapp.link_codes (created_at);

create table if not exists whatsapp.sender_messages (
  sender bytea not null,
  kind text not null check (kind in ('registration', 'wrong_code')),
  message bytea not null,
  outcome text check (outcome in ('expired', 'unknown')),
  answered boolean not null,
  at timestamptz not null default now(),
  primary key (sender, kind, message)
);
comment on table whatsapp.sender_messages is
  'Messages that got the registration text or held a wrong code: pseudonyms of sender and message and a time, for the'
  ' limits on answers. Deleted after a day; those that got the registration text after eight.';
comment on column whatsapp.sender_messages.outcome is 'The result of a wrong code, for a redelivery of the message.';
comment on column whatsapp.sender_messages.answered is 'Whether the message gets an answer.';

-- For retention.
create index if not exists sender_messages_at_idx on whatsapp.sender_messages (kind, at);

create table if not exists whatsapp.business_numbers (
  phone_number_id text primary key,
  number text not null check (number ~ '^[1-9][0-9]{4,19}$'),
  first_seen_at timestamptz not null default now()
);
comment on table whatsapp.business_numbers is
  'The configured business numbers that unlinked senders have written to. Links for users have the first one.';
comment on column whatsapp.business_numbers.number is 'Country code and number, only digits: 16505551234.';

revoke all on table whatsapp.link_codes, whatsapp.sender_messages, whatsapp.business_numbers
  from public, anon, authenticated;
grant all on table whatsapp.link_codes, whatsapp.sender_messages, whatsapp.business_numbers to service_role;

-- Without a policy: a role that is subject to row-level security sees no row.
alter table whatsapp.link_codes enable row level security;
alter table whatsapp.sender_messages enable row level security;
alter table whatsapp.business_numbers enable row level security;

-- A user without a number has an empty string in a column of an older program that is not nullable: only one user can, if
-- it is also unique.
do $$
begin
  if exists (select from pg_index join pg_attribute on attrelid = indrelid and attnum = indkey[0]
    where indrelid = 'public.user_preferences'::regclass and indisunique and indnkeyatts = 1
      and attname = 'whatsapp_phone' and attnotnull)
  then
    perform adoption.note('user_preferences', 'the column whatsapp_phone may be null from now on');
    alter table public.user_preferences alter column whatsapp_phone drop not null;
    update public.user_preferences set whatsapp_phone = null where whatsapp_phone = '';
  end if;
end
$$;

-- A link inserts a row for a user who has none: the columns of an older program must not refuse it.
do $$
declare
  name text;
  in_key boolean;
  kind text;
begin
  for name, kind, in_key in
    select attname, format_type(atttypid, null), exists (select 1 from pg_constraint
        where conrelid = attrelid and contype = 'p' and attnum = any (conkey))
      from pg_attribute where attrelid = 'public.user_preferences'::regclass and attnum > 0 and not attisdropped
        and attnotnull and not atthasdef and attidentity = '' and attgenerated = ''
        and attname not in ('user_id', 'whatsapp_phone')
  loop
    if not in_key then
      perform adoption.note('user_preferences', format('the column %I may be null from now on', name));
      execute format('alter table public.user_preferences alter column %I drop not null', name);
    elsif kind = 'uuid' then
      perform adoption.note('user_preferences', format('the column %I has a random UUID by default from now on', name));
      execute format('alter table public.user_preferences alter column %I set default gen_random_uuid()', name);
    end if;
  end loop;
end
$$;
