-- Meta's statuses of each answer: sent, delivered, read, played or failed. Statuses arrive in any order, several times,
-- and before the row of the answer. Each is stored here once, and the status columns of the answer are computed from
-- all of them, so that they do not depend on the order of arrival.
--
-- The program only inserts, here and into `messages`; the triggers below do the rest. The id of a status is derived
-- from its content, so that writing is idempotent.
--
-- For the service role only.

create table if not exists public.message_statuses (
  id uuid primary key,
  wamid text not null,
  status text not null,
  at timestamptz not null,
  error_code integer,
  error_text text,
  phone_number_id text,
  message_id uuid references public.messages (id) on delete cascade,
  payload jsonb,
  received_at timestamptz not null default now()
);

comment on table public.message_statuses is 'Meta''s statuses of each answer, as they arrived. Service role only.';
comment on column public.message_statuses.wamid is 'Meta''s id of the answer, or of a part of it.';
comment on column public.message_statuses.status is
  'Meta''s name of the status. Names other than sent, delivered, read, played and failed change no message.';
comment on column public.message_statuses.at is 'The time of the status according to Meta, in whole seconds.';
comment on column public.message_statuses.error_code is 'Meta''s error code, for the status failed.';
comment on column public.message_statuses.phone_number_id is
  'The phone number id of the business number that sent the answer.';
comment on column public.message_statuses.message_id is
  'The answer''s row, set by triggers; null while there is none. The status is deleted with it.';
comment on column public.message_statuses.payload is 'The status as Meta sent it.';

create index if not exists message_statuses_wamid_idx on public.message_statuses (wamid);
-- For the deletion of a message with its statuses.
create index if not exists message_statuses_message_id_idx on public.message_statuses (message_id);

-- Supabase's default privileges grant everything to every role of the API.
revoke all on table public.message_statuses from public, anon, authenticated;
grant all on table public.message_statuses to service_role;

-- Without a policy: a role that is subject to row-level security sees no row.
alter table public.message_statuses enable row level security;

-- Serializes transactions on the same wamids: the later one waits until the earlier one has committed, and its next
-- statement sees the committed rows. Locks are taken in a fixed order, which excludes deadlocks. The purpose separates
-- statuses and edits. The number of locks is limited to 1024 for each, which bounds the locks of a transaction, because
-- the server's lock memory is limited.
create or replace function public.lock_wamids(purpose integer, wamids text[]) returns void
language plpgsql volatile set search_path = '' as $$
declare
  lock integer;
begin
  for lock in select distinct hashtext(wamid) & 1023 as lock from unnest(wamids) as wamid order by lock loop
    perform pg_advisory_xact_lock(purpose, lock);
  end loop;
end
$$;

-- Computes the status columns of these rows from all statuses of their wamids. The caller holds the wamids' locks.
--
-- For one part: sent < delivered < read < played. Failed ranks above sent; against the others, the later one counts
-- (in the same second: failed). For several parts: failed when a part failed; otherwise the lowest status of all parts,
-- and null while a part has none.
create or replace function public.apply_message_statuses(message_ids uuid[]) returns void
language plpgsql volatile set search_path = '' as $$
declare
  ranks constant text[] := array['sent', 'delivered', 'read', 'played'];
begin
  -- Statuses of two parts of one answer hold different locks and are serialized here, in a separate statement: the next
  -- statements see the rows that were committed during the wait.
  perform 1 from public.messages where id = any (message_ids) order by id for no key update;

  update public.message_statuses known set message_id = answer.id
    from public.messages answer
    where answer.id = any (message_ids) and known.wamid = any (answer.wamids)
      and known.message_id is distinct from answer.id;

  update public.messages answer
    set status = now_is.status, sent_at = now_is.sent_at, delivered_at = now_is.delivered_at, read_at = now_is.read_at,
      played_at = now_is.played_at, failed_at = now_is.failed_at, error_code = now_is.error_code,
      error_text = now_is.error_text
    from (
      select id,
        case
          when bool_or(parts.status = 'failed') then 'failed'
          when bool_and(parts.status is not null) then ranks[min(array_position(ranks, parts.status))]
        end as status,
        case when bool_and(parts.sent_at is not null) then max(parts.sent_at) end as sent_at,
        case when bool_and(parts.delivered_at is not null) then max(parts.delivered_at) end as delivered_at,
        case when bool_and(parts.read_at is not null) then max(parts.read_at) end as read_at,
        case when bool_and(parts.played_at is not null) then max(parts.played_at) end as played_at,
        min(parts.failed_at) as failed_at,
        -- From the latest failure. Between two of the same second the id decides, independent of the order of arrival.
        (array_agg(parts.error_code order by parts.last_failed_at desc nulls last, parts.failure))[1] as error_code,
        (array_agg(parts.error_text order by parts.last_failed_at desc nulls last, parts.failure))[1] as error_text
      from (
        select messages.id, times.*, failure.id as failure, failure.error_code, failure.error_text,
          case
            when times.last_failed_at is not null and (times.last_arrived_at is null
              or date_trunc('second', times.last_failed_at) >= date_trunc('second', times.last_arrived_at))
              then 'failed'
            when times.played_at is not null then 'played'
            when times.read_at is not null then 'read'
            when times.delivered_at is not null then 'delivered'
            when times.sent_at is not null then 'sent'
          end as status
        from public.messages
        cross join lateral (select distinct wamid from unnest(messages.wamids) as wamid where wamid is not null) part
        cross join lateral (
          select
            min(at) filter (where known.status = 'sent') as sent_at,
            min(at) filter (where known.status = 'delivered') as delivered_at,
            min(at) filter (where known.status = 'read') as read_at,
            min(at) filter (where known.status = 'played') as played_at,
            min(at) filter (where known.status = 'failed') as failed_at,
            max(at) filter (where known.status = 'failed') as last_failed_at,
            max(at) filter (where known.status in ('delivered', 'read', 'played')) as last_arrived_at
          from public.message_statuses known where known.wamid = part.wamid
        ) times
        left join lateral (
          select known.id, known.error_code, known.error_text from public.message_statuses known
          where known.wamid = part.wamid and known.status = 'failed' order by known.at desc, known.id limit 1
        ) failure on true
        where messages.id = any (message_ids)
      ) parts
      group by id
      -- Unknown names alone do not change the row.
      having bool_or(parts.status is not null)
    ) now_is
    where answer.id = now_is.id
      and (answer.status, answer.sent_at, answer.delivered_at, answer.read_at, answer.played_at, answer.failed_at,
        answer.error_code, answer.error_text)
      is distinct from (now_is.status, now_is.sent_at, now_is.delivered_at, now_is.read_at, now_is.played_at,
        now_is.failed_at, now_is.error_code, now_is.error_text);
end
$$;

-- The triggers. Without just-in-time compilation: the planner has no statistics on a single wamid and, on a large
-- table, overestimates its lookup so much that compilation seems worthwhile. And without sequential scans: a plan is
-- cached for the life of the connection, and a plan made for a small table would still scan the whole table when it is
-- large.

-- Finds the answer of a status, if it exists. This serves only the writer, which sees message_id with
-- `return=representation`; only the next trigger sees the rows of concurrent transactions.
create or replace function public.message_statuses_find_message() returns trigger
language plpgsql volatile security definer set search_path = '' set jit = off set enable_seqscan = off as $$
begin
  new.message_id := null;
  select id into new.message_id from public.messages where role = 'assistant' and wamids @> array[new.wamid];
  return new;
end
$$;

-- Applies statuses to their answers. Per statement, so that all its locks are taken in one order.
create or replace function public.message_statuses_change_messages() returns trigger
language plpgsql volatile security definer set search_path = '' set jit = off set enable_seqscan = off as $$
declare
  concerned constant text[] := (select array_agg(distinct wamid) from inserted);
  message_ids uuid[];
begin
  perform public.lock_wamids(1, concerned);
  select array_agg(distinct id) into message_ids
    from unnest(concerned) as wamid join public.messages on wamids @> array[wamid] where role = 'assistant';
  if message_ids is not null then
    perform public.apply_message_statuses(message_ids);
  end if;
  return null;
end
$$;

-- Applies the statuses that arrived before their answer. Most answers have none, and are not written a second time.
create or replace function public.messages_take_up_statuses() returns trigger
language plpgsql volatile security definer set search_path = '' set jit = off set enable_seqscan = off as $$
declare
  concerned constant text[] := (
    select array_agg(wamid) from inserted cross join unnest(inserted.wamids) as wamid where role = 'assistant');
  message_ids uuid[];
begin
  if concerned is null then
    return null;
  end if;
  perform public.lock_wamids(1, concerned);
  if exists (select 1 from public.message_statuses where wamid = any (concerned)) then
    select array_agg(id) into message_ids from inserted where role = 'assistant' and wamids is not null;
    perform public.apply_message_statuses(message_ids);
  end if;
  return null;
end
$$;

-- Only the triggers call the functions, and need no right to do so. They run with the rights of their owner (security
-- definer): the role of an older program that may write messages needs no rights on statuses.
revoke all on function public.lock_wamids(integer, text[]) from public, anon, authenticated, service_role;
revoke all on function public.apply_message_statuses(uuid[]) from public, anon, authenticated, service_role;
revoke all on function public.message_statuses_find_message() from public, anon, authenticated, service_role;
revoke all on function public.message_statuses_change_messages() from public, anon, authenticated, service_role;
revoke all on function public.messages_take_up_statuses() from public, anon, authenticated, service_role;

create or replace trigger message_statuses_find_message before insert on public.message_statuses
  for each row execute function public.message_statuses_find_message();

create or replace trigger message_statuses_change_messages after insert on public.message_statuses
  referencing new table as inserted
  for each statement execute function public.message_statuses_change_messages();

create or replace trigger messages_take_up_statuses after insert on public.messages
  referencing new table as inserted
  for each statement execute function public.messages_take_up_statuses();
