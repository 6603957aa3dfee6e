-- The validity of links: a number or user id that reply added to complete a link is removed together with the value by
-- which the link was found, and an identity change from Meta is applied once, and never after a later one.

-- A change or removal of the number or the user id also removes the value that reply added because of it. The same
-- digits in another form are not a change. Empty strings count as null: the triggers that replace them run after this
-- one, in the order of names.
create or replace function public.user_preferences_whatsapp_identity() returns trigger
language plpgsql set search_path = '' as $$
declare
  number_was text;
  user_id_was text;
  is_completion boolean;
  is_from_meta boolean;
  number_is constant text := nullif(regexp_replace(new.whatsapp_phone, '[^0-9]', '', 'g'), '');
  user_id_is constant text := nullif(new.whatsapp_user_id, '');
begin
  if tg_op = 'INSERT' then
    if number_is is not null or user_id_is is not null then
      new.whatsapp_identity_at := coalesce(new.whatsapp_identity_at, now());
    end if;
    return new;
  end if;
  number_was := nullif(regexp_replace(old.whatsapp_phone, '[^0-9]', '', 'g'), '');
  user_id_was := nullif(old.whatsapp_user_id, '');

  if number_is is not distinct from number_was and user_id_is is not distinct from user_id_was then
    return new;
  end if;

  -- An identity change from Meta sets its own time, and so does reply when it completes a link, with its own link
  -- state.
  is_completion := new.whatsapp_link_state in ('added_number', 'added_user_id')
    and new.whatsapp_link_state is distinct from old.whatsapp_link_state;
  is_from_meta := coalesce(current_setting('whatsapp.writer', true), '') = 'keep_identity_event';
  if not (is_completion or is_from_meta) then
    new.whatsapp_identity_at := now();
  end if;
  if number_is is distinct from number_was then
    new.whatsapp_number_at := case when number_is is not null then new.whatsapp_identity_at end;
  end if;
  if is_completion or is_from_meta then
    return new;
  end if;

  new.whatsapp_link_state := 'changed';
  if number_was is not null and number_is is distinct from number_was then
    -- Another number, or none. The user id is removed too, unless it changes as well or was linked before the number.
    if user_id_is is not distinct from user_id_was and old.whatsapp_link_state is distinct from 'added_number' then
      new.whatsapp_user_id := null;
    elsif number_is is null and user_id_is is not null then
      new.whatsapp_link_state := 'removed';
    end if;
  elsif user_id_was is not null and user_id_is is distinct from user_id_was then
    -- Another user id, or none. The number is removed too, if reply added it because of the user id.
    if old.whatsapp_link_state = 'added_number' then
      new.whatsapp_phone := case when (select attnotnull from pg_catalog.pg_attribute
        where attrelid = tg_relid and attname = 'whatsapp_phone') then '' end;
    elsif user_id_is is null and number_is is not null then
      new.whatsapp_link_state := 'removed';
    end if;
  end if;
  if user_id_is is distinct from user_id_was or new.whatsapp_user_id is null then
    new.whatsapp_waba_id := null;
  end if;
  return new;
end
$$;

-- Only the trigger calls the function, and needs no right to do so.
revoke all on function public.user_preferences_whatsapp_identity() from public, anon, authenticated, service_role;

create or replace trigger user_preferences_whatsapp_identity before insert or update on public.user_preferences
  for each row execute function public.user_preferences_whatsapp_identity();

-- Stores an event with identity changes (new phone numbers or user ids), and applies each change to the user linked by
-- the previous identity: in one transaction, and only the first time that the event is written.
--
-- `event` is a row of account_events. Each of `changes` has `previous_numbers` (one number in every spelling, or none),
-- `previous_user_id`, `numbers` (the new one, the spelling to be stored first), `user_id` and `at`. The result has for
-- each change the `outcome` and the affected user, `user_id`:
--   applied         the user has the new number or user id
--   unlinked        no user is linked by the previous identity
--   ambiguous       several users are linked by the previous identity
--   stale           the link is more recent than the change
--   clash           another user has the new number or user id
-- The result is a single `applied_before` when the event was stored before.
create or replace function public.keep_identity_event(event jsonb, changes jsonb) returns jsonb
language plpgsql volatile set search_path = '' as $$
declare
  waba_id constant text := event ->> 'waba_id';
  change jsonb;
  was_numbers text[];
  was_user_id text;
  now_numbers text[];
  now_user_id text;
  changed_at timestamptz;
  owners uuid[];
  owner uuid;
  outcome text;
  outcomes jsonb := '[]';
begin
  insert into public.account_events (id, received_at, waba_id, phone_number_id, field, payload)
    values ((event ->> 'id')::uuid, (event ->> 'received_at')::timestamptz, event ->> 'waba_id',
      event ->> 'phone_number_id', event ->> 'field', event -> 'payload')
    on conflict (id) do nothing;
  if not found then
    return '[{"outcome": "applied_before"}]';
  end if;

  for change in select value from jsonb_array_elements(changes) loop
    was_numbers := array(select jsonb_array_elements_text(change -> 'previous_numbers'));
    was_user_id := change ->> 'previous_user_id';
    now_numbers := array(select jsonb_array_elements_text(change -> 'numbers'));
    now_user_id := change ->> 'user_id';
    changed_at := (change ->> 'at')::timestamptz;

    -- By the user id, or by the number if the row has no user id of this account. If it has one, the change of another
    -- user id, or of a number alone, may be that of a later owner of the number.
    -- `for update` waits for concurrent changes of a link, and reads the link after them.
    select array_agg(distinct named.user_id) into owners from (
      select linked.user_id from public.user_preferences linked
      where linked.user_id is not null and (linked.whatsapp_user_id = was_user_id
        or linked.whatsapp_phone = any (was_numbers) and (linked.whatsapp_user_id is null
          or linked.whatsapp_waba_id <> waba_id))
      for update
    ) named;
    owner := owners[1];

    if owner is null then
      outcome := 'unlinked';
    elsif cardinality(owners) > 1 then
      owner := null;
      outcome := 'ambiguous';
    -- Meta's times are whole seconds.
    elsif exists (select 1 from public.user_preferences
      where user_id = owner and date_trunc('second', whatsapp_identity_at) > changed_at) then
      outcome := 'stale';
    elsif exists (select 1 from public.user_preferences where user_id <> owner
      and (whatsapp_user_id = now_user_id or whatsapp_phone = any (now_numbers))) then
      outcome := 'clash';
    else
      begin
        perform set_config('whatsapp.writer', 'keep_identity_event', true);
        -- A removed number or user id is not added again.
        update public.user_preferences set
          whatsapp_phone = case
            when whatsapp_link_state = 'removed' and coalesce(whatsapp_phone, '') = '' then whatsapp_phone
            else coalesce(now_numbers[1], whatsapp_phone) end,
          -- A new number comes with a new user id; the next message contains it.
          whatsapp_user_id = case
            when whatsapp_link_state = 'removed' then
              case when whatsapp_user_id is not null then coalesce(now_user_id, whatsapp_user_id) end
            else now_user_id end,
          whatsapp_waba_id = case
            when whatsapp_link_state = 'removed' and (whatsapp_user_id is null or now_user_id is null)
              then whatsapp_waba_id
            when now_user_id is not null then waba_id end,
          whatsapp_identity_at = changed_at,
          whatsapp_link_state = case
            when whatsapp_link_state = 'removed' then 'removed'
            when now_user_id is null then 'changed'
            else whatsapp_link_state end
          where user_id = owner;
        outcome := 'applied';
      exception when unique_violation then
        -- Another transaction linked it concurrently.
        outcome := 'clash';
      end;
      perform set_config('whatsapp.writer', '', true);
    end if;
    outcomes := outcomes || jsonb_build_object('outcome', outcome, 'user_id', owner);
  end loop;
  return outcomes;
end
$$;

revoke all on function public.keep_identity_event(jsonb, jsonb) from public, anon, authenticated;
grant execute on function public.keep_identity_event(jsonb, jsonb) to service_role;
