-- Retries of a reply: whether an earlier attempt has sent it, and its words. See docs/RELIABILITY.md.
--
-- Each send of reply carries the id of the reply's row and the number of the part, which Meta returns in every status:
-- after a lost response or the end of a process, a status shows that the reply was sent.

alter table public.message_statuses add column if not exists answer_id uuid,
  add column if not exists answer_part integer;
comment on column public.message_statuses.answer_id is
  'The id of the row of the reply, from the data that reply sent with it; the row may not be written yet.';
comment on column public.message_statuses.answer_part is 'The number of the part of the reply, from 1.';
create index if not exists message_statuses_answer_id_idx on public.message_statuses (answer_id)
  where answer_id is not null;

-- Replies that are stored before they are sent, so that a retry says the same words; for responders that may return
-- another reply to the same question. A reply is deleted together with the insert of its message's row. The replies to
-- messages that were never recorded are deleted after 14 days, the longest time of a message on a queue.
--
-- For the service role only.
create table if not exists public.stored_answers (
  message_id uuid primary key,
  user_id uuid references auth.users (id) on delete cascade,
  text text not null,
  created_at timestamptz not null default now()
);
comment on table public.stored_answers is 'Replies that are not recorded yet. Service role only.';
comment on column public.stored_answers.message_id is
  'The id of the row of the message, or of the last one of those, that the reply answers; not written yet.';
comment on column public.stored_answers.user_id is 'The user of the message; null if the user was not known.';
create index if not exists stored_answers_created_at_idx on public.stored_answers (created_at);
create index if not exists stored_answers_user_id_idx on public.stored_answers (user_id);

-- Supabase's default privileges grant everything to every role of the API.
revoke all on table public.stored_answers from public, anon, authenticated;
grant all on table public.stored_answers to service_role;
alter table public.stored_answers enable row level security;

-- Without sequential scans: see message_statuses_expire.
create or replace function public.messages_delete_stored_answers() returns trigger
language plpgsql volatile security definer set search_path = '' set jit = off set enable_seqscan = off as $$
begin
  delete from public.stored_answers where message_id in (select id from inserted where role = 'user');
  return null;
end
$$;

create or replace function public.stored_answers_expire() returns trigger
language plpgsql volatile security definer set search_path = '' set jit = off set enable_seqscan = off as $$
begin
  -- The database may have been slow, and the reply is recorded by now.
  delete from public.stored_answers where message_id in (
    select inserted.message_id from inserted join public.messages on messages.id = inserted.message_id);
  delete from public.stored_answers where message_id in (
    select message_id from public.stored_answers where created_at < now() - interval '14 days'
    order by created_at limit 200 for update skip locked);
  return null;
end
$$;

create or replace trigger messages_delete_stored_answers after insert on public.messages
  referencing new table as inserted
  for each statement execute function public.messages_delete_stored_answers();
create or replace trigger stored_answers_expire after insert on public.stored_answers
  referencing new table as inserted
  for each statement execute function public.stored_answers_expire();

-- Only the triggers call the functions, and need no right to do so.
revoke all on function public.messages_delete_stored_answers() from public, anon, authenticated, service_role;
revoke all on function public.stored_answers_expire() from public, anon, authenticated, service_role;
