-- The conversation, one row per message of the user or of the business, with its type and delivery status. Users read,
-- the service role writes. Row-level security is enabled, not forced: see user_preferences.

create table if not exists public.messages (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references auth.users (id) on delete cascade,
  channel text not null,
  role text not null check (role in ('user', 'assistant')),
  content text not null,
  created_at timestamptz not null default now(),
  unanswered_because text,
  type text,
  payload jsonb,
  phone_number_id text,
  wamids text[],
  refers_to text,
  status text,
  sent_at timestamptz,
  delivered_at timestamptz,
  read_at timestamptz,
  played_at timestamptz,
  failed_at timestamptz,
  error_code integer,
  error_text text,
  edited_at timestamptz,
  revoked_at timestamptz
);
comment on column public.messages.unanswered_because is
  'The reason for a user''s message without an answer: the permanent error of the Graph API. Null otherwise.';
comment on column public.messages.type is
  'Meta''s type of the message: text, image, reaction, …; of an answer: text. Null in rows of older programs.';
comment on column public.messages.payload is
  'For a message from the webhook, of a user or of the business in its app: "raw", as Meta sent it, and values '
  'extracted from it ("media", "quoted", "referral", …); "field", when that is not messages. For an answer of a '
  'language model: "llm", with its source, model, tokens and time. Null for any other answer.';
comment on column public.messages.phone_number_id is
  'The business number that received or sent it: Meta''s id of the number.';
comment on column public.messages.wamids is
  'Meta''s ids of the message: one for a user''s message, one for each part of a long answer.';
comment on column public.messages.refers_to is
  'Meta''s id of the message that a reaction, an edit or a revoke refers to.';
comment on column public.messages.status is
  'The delivery status of an answer: sent, delivered, read, played or failed. From message_statuses; for an answer in '
  'parts, the lowest status of all parts, null while a part has no status, and failed when a part failed.';
comment on column public.messages.sent_at is
  'The time at which Meta sent it; for an answer in parts, the last of them. Null until all were sent.';
comment on column public.messages.delivered_at is
  'The time of delivery to the phone; for an answer in parts, of the last of them. Null until all were delivered.';
comment on column public.messages.read_at is
  'The time at which it was read; for an answer in parts, the last of them. Null until all were read.';
comment on column public.messages.played_at is
  'The time at which a voice message was played; for an answer in parts, the last of them. Null until all were played.';
comment on column public.messages.failed_at is
  'The time at which it, or the first part of it, failed. It remains when the message was delivered later.';
comment on column public.messages.error_code is
  'Meta''s error code of the latest failure. It remains when the message was delivered later: see status.';
comment on column public.messages.error_text is
  'Meta''s text for the latest failure, like error_code.';
comment on column public.messages.edited_at is
  'The time of the author''s last edit, which is a separate row: type edit, refers_to. The content is the original.';
comment on column public.messages.revoked_at is
  'The time at which the author deleted it, which is a separate row: type revoke, refers_to. The content remains.';

-- The order of pagination, after the column of the policy.
create index if not exists messages_user_id_created_at_id_idx
  on public.messages (user_id, created_at desc, id desc);

-- For lookups of a message by its statuses, edits and revokes, often soon after it is written: without `fastupdate`,
-- because every lookup would scan its list of new entries.
create index if not exists messages_wamids_idx
  on public.messages using gin (wamids) with (fastupdate = off) where wamids is not null;

-- For lookups of the edits and revokes that arrived before their message.
create index if not exists messages_refers_to_idx on public.messages (refers_to) where refers_to is not null;

revoke all on table public.messages from public, anon, authenticated;
grant select on table public.messages to authenticated;
grant all on table public.messages to service_role;

alter table public.messages enable row level security;
drop policy if exists "A user reads their own messages" on public.messages;
create policy "A user reads their own messages" on public.messages
  for select to authenticated using ((select auth.uid()) = user_id);
