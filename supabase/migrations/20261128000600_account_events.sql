-- Meta's events of the business account, outside conversations: every webhook field other than messages and statuses,
-- as it arrived, for an operator to read. The id of an event is derived from its content, so that writing is
-- idempotent.
--
-- For the service role only.

create table if not exists public.account_events (
  id uuid primary key,
  received_at timestamptz not null,
  waba_id text,
  phone_number_id text,
  field text not null,
  payload jsonb not null
);

comment on table public.account_events is 'Meta''s events of the business account, as they arrived. Service role only.';
comment on column public.account_events.received_at is 'The time of receipt by the webhook.';
comment on column public.account_events.waba_id is 'The WhatsApp Business Account of the event: entry.id.';
comment on column public.account_events.phone_number_id is
  'The phone number id of the business number, if the event has one.';
comment on column public.account_events.field is 'Meta''s name of the webhook field: account_update, …';
comment on column public.account_events.payload is 'The value as Meta sent it.';

-- For reading from the newest on.
create index if not exists account_events_received_at_idx on public.account_events (received_at);

-- Supabase's default privileges grant everything to every role of the API.
revoke all on table public.account_events from public, anon, authenticated;
grant all on table public.account_events to service_role;

-- Without a policy: a role that is subject to row-level security sees no row.
alter table public.account_events enable row level security;
