-- The conversation, a row for each message: what the user wrote and what was answered, what a message is and what became
-- of it. Users read, the service role writes. Row-level security is enabled, not forced: see user_preferences.

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
  'Why a user''s message has no answer: the Graph API''s error, when it is final. Null otherwise.';
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

-- The order in which pages are read, led by the column of the policy.
create index if not exists messages_user_id_created_at_id_idx
  on public.messages (user_id, created_at desc, id desc);

-- Statuses, edits and revokes find their message by it. Each row is looked for soon after it is written: without
-- `fastupdate`, whose list of new entries every look-up would read through.
create index if not exists messages_wamids_idx
  on public.messages using gin (wamids) with (fastupdate = off) where wamids is not null;

-- A message finds the edits and revokes that came before it.
create index if not exists messages_refers_to_idx on public.messages (refers_to) where refers_to is not null;

revoke all on table public.messages from public, anon, authenticated;
grant select on table public.messages to authenticated;
grant all on table public.messages to service_role;

alter table public.messages enable row level security;
drop policy if exists "A user reads their own messages" on public.messages;
create policy "A user reads their own messages" on public.messages
  for select to authenticated using ((select auth.uid()) = user_id);
