-- What Meta says about the business account and not in a conversation: every webhook field other than messages and
-- statuses, as it came, for a person to read. The program gives an event an id that it derives from what the event
-- says, so that writing twice is writing once.
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

comment on table public.account_events is 'What Meta said about the business account, as it came. Service role only.';
comment on column public.account_events.received_at is 'When the webhook received it.';
comment on column public.account_events.waba_id is 'The WhatsApp Business Account that it is about: entry.id.';
comment on column public.account_events.phone_number_id is
  'The business number, where it is about one: Meta''s id of it.';
comment on column public.account_events.field is 'Meta''s name of the webhook field: account_update, …';
comment on column public.account_events.payload is 'The value as Meta sent it.';

-- Read from the newest on.
create index if not exists account_events_received_at_idx on public.account_events (received_at);

-- Supabase's default privileges grant everything to every role of the API.
revoke all on table public.account_events from public, anon, authenticated;
grant all on table public.account_events to service_role;

-- Without a policy: nobody whom row-level security concerns sees anything.
alter table public.account_events enable row level security;
