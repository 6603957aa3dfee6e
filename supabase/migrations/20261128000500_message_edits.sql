-- Edits and revokes mark the message that they are about. Each is a row of its own, as it came: its type is `edit` or
-- `revoke`, and `refers_to` is Meta's id of the message. They may be written before it, and again.
--
-- Only the author's count: the same user's history, the same role. The business edits what it wrote in its app, which
-- has a payload; answers of the reply function have none and are not looked for. The content of the message stays what
-- it was.

-- Without just-in-time compilation and reading whole tables: see the triggers of message_statuses.
create or replace function public.messages_mark_edited() returns trigger
language plpgsql volatile security definer set search_path = '' set jit = off set enable_seqscan = off as $$
declare
  -- What the new rows are about, and what they are.
  concerned constant text[] := (
    select array_agg(wamid) from (
      select refers_to as wamid from inserted where role in ('user', 'assistant') and type in ('edit', 'revoke')
      union all
      select unnest(wamids) from inserted where role = 'user' or (role = 'assistant' and payload is not null)
    ) as wamids where wamid is not null);
begin
  if concerned is null then
    return null;
  end if;
  -- A message has one wamid: whoever changes its row holds the same lock. See lock_wamids. An answer in parts has
  -- several, and the latest change of any of them counts.
  perform public.lock_wamids(2, concerned);
  update public.messages marked set edited_at = greatest(marked.edited_at, latest.edited_at),
      revoked_at = greatest(marked.revoked_at, latest.revoked_at)
    from (
      select message.id,
        max(change.created_at) filter (where change.type = 'edit') as edited_at,
        max(change.created_at) filter (where change.type = 'revoke') as revoked_at
      from unnest(concerned) as wamid
      join public.messages change on change.refers_to = wamid
      -- By its wamid first (`offset 0` keeps it apart), and not among all of the user's messages.
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

-- Nobody calls it but the trigger, which asks for no right. It acts as its owner: see message_statuses.
revoke all on function public.messages_mark_edited() from public, anon, authenticated, service_role;

create or replace trigger messages_mark_edited after insert on public.messages
  referencing new table as inserted
  for each statement execute function public.messages_mark_edited();
