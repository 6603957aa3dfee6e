-- What is linked of a person, and for how long it counts: a number or user id that reply learned does not outlive the
-- link that taught it, and a change of number or user id that Meta tells is applied once, and never after a later one.

-- Whoever changes or clears the number or the user id, what reply learned with it goes, too. The same digits in another
-- form are no change. Empty texts count as null: the triggers that make them so come after this one, in the order of names.
create or replace function public.user_preferences_whatsapp_identity() returns trigger
language plpgsql set search_path = '' as $$
declare
  number_was text;
  user_id_was text;
  is_learned boolean;
  is_told boolean;
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

  -- A change that Meta told brings its own time; so does what reply learned, which says that it did.
  is_learned := new.whatsapp_link_state in ('learned_number', 'learned_user_id')
    and new.whatsapp_link_state is distinct from old.whatsapp_link_state;
  is_told := coalesce(current_setting('whatsapp.writer', true), '') = 'keep_identity_event';
  if not (is_learned or is_told) then
    new.whatsapp_identity_at := now();
  end if;
  if number_is is distinct from number_was then
    new.whatsapp_number_at := case when number_is is not null then new.whatsapp_identity_at end;
  end if;
  if is_learned or is_told then
    return new;
  end if;

  new.whatsapp_link_state := 'changed';
  if number_was is not null and number_is is distinct from number_was then
    -- Another number, or none. The user id goes with it, unless it is given anew or was there before the number.
    if user_id_is is not distinct from user_id_was and old.whatsapp_link_state is distinct from 'learned_number' then
      new.whatsapp_user_id := null;
    elsif number_is is null and user_id_is is not null then
      new.whatsapp_link_state := 'removed';
    end if;
  elsif user_id_was is not null and user_id_is is distinct from user_id_was then
    -- Another user id, or none. The number goes with it if the user id taught it.
    if old.whatsapp_link_state = 'learned_number' then
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

-- Nobody calls it but the trigger, which asks for no right.
revoke all on function public.user_preferences_whatsapp_identity() from public, anon, authenticated, service_role;

create or replace trigger user_preferences_whatsapp_identity before insert or update on public.user_preferences
  for each row execute function public.user_preferences_whatsapp_identity();

-- Keeps an event in which Meta tells that people have another number or user id, and gives these to the users who are
-- linked by what they had before: both in one transaction, and only the first time that the event is written.
--
-- `event` is a row of account_events. Each of `changes` has `previous_numbers` (one number in every spelling, or none),
-- `previous_user_id`, `numbers` (the new one, the spelling to be stored first), `user_id` and `at`. For each the answer
-- says `outcome` and the `user_id` of ours that it is about:
--   applied         the user has the new number or user id
--   nobody          no user is linked by what it names as previous
--   ambiguous       several users are
--   stale           the link is more recent than the change
--   clash           somebody else has the new number or user id
-- One answer `applied_before`, when the event was kept before.
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

    -- By the user id; by the number where the row has no user id of this account, which would be somebody else's.
    -- Whose link is being changed at this moment is waited for, and looked at as it is then.
    select array_agg(distinct named.user_id) into owners from (
      select linked.user_id from public.user_preferences linked
      where linked.user_id is not null and (linked.whatsapp_user_id = was_user_id
        or linked.whatsapp_phone = any (was_numbers) and (was_user_id is null or linked.whatsapp_user_id is null
          or linked.whatsapp_waba_id <> waba_id))
      for update
    ) named;
    owner := owners[1];

    if owner is null then
      outcome := 'nobody';
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
        -- Where one of the two was taken out it stays so.
        update public.user_preferences set
          whatsapp_phone = case
            when whatsapp_link_state = 'removed' and coalesce(whatsapp_phone, '') = '' then whatsapp_phone
            else coalesce(now_numbers[1], whatsapp_phone) end,
          -- With another number a person has another user id; which one, the next message says.
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
        -- Written at the same moment.
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
