-- Edits and revokes mark the message that they refer to. Each is a separate row: its type is `edit` or `revoke`, and
-- `refers_to` is Meta's id of the message. They may be written before the message, and repeatedly.
--
-- Only edits and revokes of the author count: in the history of the same user, with the same role. The business edits
-- messages that it wrote in its app; answers of the reply function, which have no payload or one with `llm`, are not
-- searched. The content of the message is not changed.

-- Without just-in-time compilation and sequential scans: see the triggers of message_statuses.
create or replace function public.messages_mark_edited() returns trigger
language plpgsql volatile security definer set search_path = '' set jit = off set enable_seqscan = off as $$
declare
  -- The wamids that the new rows refer to, and those of the new rows.
  concerned constant text[] := (
    select array_agg(wamid) from (
      select refers_to as wamid from inserted where role in ('user', 'assistant') and type in ('edit', 'revoke')
      union all
      select unnest(wamids) from inserted
        where role = 'user' or (role = 'assistant' and payload is not null and not payload ? 'llm')
    ) as wamids where wamid is not null);
begin
  if concerned is null then
    return null;
  end if;
  -- A message has one wamid, so all changes of its row hold the same lock. See lock_wamids. An answer in parts has
  -- several wamids, and the latest change of any of them counts.
  perform public.lock_wamids(2, concerned);
  update public.messages marked set edited_at = greatest(marked.edited_at, latest.edited_at),
      revoked_at = greatest(marked.revoked_at, latest.revoked_at)
    from (
      select message.id,
        max(change.created_at) filter (where change.type = 'edit') as edited_at,
        max(change.created_at) filter (where change.type = 'revoke') as revoked_at
      from unnest(concerned) as wamid
      join public.messages change on change.refers_to = wamid
      -- By its wamid first, not among all of the user's messages: `offset 0` prevents the planner from merging the
      -- conditions.
      cross join lateral (
        select id, user_id, role from public.messages
          where role in ('user', 'assistant') and wamids @> array[wamid] offset 0
      ) message
      where change.role = message.role and change.type in ('edit', 'revoke') and message.user_id = change.user_id
      group by message.id
    ) latest
    where marked.id = latest.id
      and (marked.edited_at, marked.revoked_at) is distinct from (latest.edited_at, latest.revoked_at);
  return null;
end
$$;

-- Only the trigger calls the function, and needs no right to do so. Security definer: see message_statuses.
revoke all on function public.messages_mark_edited() from public, anon, authenticated, service_role;

create or replace trigger messages_mark_edited after insert on public.messages
  referencing new table as inserted
  for each statement execute function public.messages_mark_edited();
