-- The side of reply in linking, see docs/LINKING.md: it claims the code of a message, asks the sender, and confirms the
-- sender's answer.
--
-- Hashes and the pseudonyms of senders and messages are hexadecimal in the public functions. The times of messages are
-- Meta's, so that a message that waited for the database stays valid. Without sequential scans: see
-- message_statuses_expire.

-- The account, as the sender is asked about it: recognizable for its owner, of little use to others.
create or replace function whatsapp.masked_account(claimant uuid) returns text
language sql stable set search_path = '' as $$
  select coalesce(regexp_replace(nullif(email, ''), '^(.).*@', '\1•••@'), '•••' || right(nullif(phone, ''), 4),
    'one without an e-mail address') from auth.users where id = claimant
$$;

-- Whether another wrong code or tap of a sender is answered: five of them within an hour. Those without an answer do not
-- count: whoever waits an hour can try again.
create or replace function whatsapp.may_refuse(claimer bytea) returns boolean
language sql stable set search_path = '' as $$
  select count(*) < 5 from whatsapp.sender_messages
    where sender = claimer and kind = 'wrong_code' and answered and at > now() - interval '1 hour'
$$;

create or replace function whatsapp.claim_link(hash bytea, claimer bytea, of_message bytea, sent timestamptz)
returns jsonb language plpgsql volatile security definer set search_path = '' set jit = off
  set enable_seqscan = off as $$
declare
  link whatsapp.link_codes;
  result text;
  is_answered boolean := true;
begin
  perform whatsapp.lock(4, claimer::text);
  select outcome, answered into result, is_answered from whatsapp.sender_messages
    where sender = claimer and kind = 'wrong_code' and message = of_message;
  if found then
    return jsonb_build_object('outcome', result, 'answer', is_answered);
  end if;

  select * into link from whatsapp.link_codes where code_hash = hash for update;
  if link.claimed_by = claimer and link.state in ('claimed', 'linked', 'discarded')
    and (link.claimed_message = of_message or sent < link.expires_at)
  then
    if link.state = 'claimed' and link.claimed_message = of_message then
      return jsonb_build_object('outcome', 'ask', 'link_id', link.id,
        'account', whatsapp.masked_account(link.user_id));
    end if;
    return '{"outcome": "decided"}';
  end if;
  is_answered := whatsapp.may_refuse(claimer);
  if is_answered and link.state = 'open' and sent < link.expires_at then
    update whatsapp.link_codes set state = 'claimed', claimed_by = claimer, claimed_message = of_message,
      expires_at = greatest(expires_at, sent + interval '10 minutes') where id = link.id;
    return jsonb_build_object('outcome', 'ask', 'link_id', link.id, 'account', whatsapp.masked_account(link.user_id));
  end if;

  -- After too many wrong codes, the result does not depend on the code. A code sent a day ago may be deleted: it counts as
  -- known, so that a late delivery of its message is not a message of the sender's conversation.
  result := case when sent < now() - interval '23 hours' or is_answered and link.id is not null then 'expired'
    else 'unknown' end;
  insert into whatsapp.sender_messages (sender, kind, message, outcome, answered)
    values (claimer, 'wrong_code', of_message, result, is_answered);
  perform whatsapp.expire();
  return jsonb_build_object('outcome', result, 'answer', is_answered);
end
$$;

-- Gives a user the identity of a sender, takes it from other users, and returns whether one of them had it. A user who
-- loses a number or a user id loses both, which are of one phone. Returns null, and changes nothing, if another user has
-- the identity since a later time.
create or replace function whatsapp.link(claimant uuid, numbers text[], id text, account text, since timestamptz)
returns boolean language plpgsql volatile set search_path = '' set jit = off set enable_seqscan = off as $$
-- The table of an older program may have columns with these names.
#variable_conflict use_variable
declare
  written text[] := numbers;
  own tid;
  is_moved boolean;
begin
  for attempt in 1 .. 3 loop
    begin
      -- In one order, which excludes deadlocks between links.
      perform 1 from public.user_preferences where user_id is not null
        and (user_id = claimant or whatsapp_user_id = id or whatsapp_phone = any (written)) order by user_id for update;
      -- The table of an older program may have several rows of a user.
      select ctid into own from public.user_preferences where user_id = claimant order by ctid limit 1;
      if exists (select from public.user_preferences where user_id <> claimant and whatsapp_identity_at > since
        and (whatsapp_user_id = id or whatsapp_phone = any (written)))
      then
        return null;
      end if;
      with lost as (
        update public.user_preferences set whatsapp_phone = '', whatsapp_user_id = null
        where user_id is not null and ctid is distinct from own
          and (user_id = claimant or whatsapp_user_id = id or whatsapp_phone = any (written))
        returning user_id
      )
      select coalesce(bool_or(user_id <> claimant), false) into is_moved from lost;

      -- The row gets exactly this identity and this time: the trigger on the identity changes nothing.
      perform set_config('whatsapp.writer', 'keep_identity_event', true);
      if own is null then
        insert into public.user_preferences (user_id, whatsapp_phone, whatsapp_user_id, whatsapp_waba_id,
            whatsapp_identity_at, whatsapp_number_at)
          values (claimant, coalesce(numbers[1], ''), id, case when id is not null then account end,
            since, case when numbers[1] is not null then since end);
      else
        update public.user_preferences set whatsapp_phone = coalesce(numbers[1], ''), whatsapp_user_id = id,
          whatsapp_waba_id = case when id is not null then account end, whatsapp_identity_at = since,
          whatsapp_number_at = case when numbers[1] is not null then since end, whatsapp_link_state = 'changed'
          where ctid = own;
      end if;
      perform set_config('whatsapp.writer', '', true);
      return is_moved;
    exception when unique_violation then
      if attempt = 3 then
        raise;
      end if;
      -- Another transaction linked it concurrently, or an older program wrote the number in another form.
      written := written || array(select whatsapp_phone from public.user_preferences
        where regexp_replace(whatsapp_phone, '[^0-9]', '', 'g')
          in (select regexp_replace(spelling, '[^0-9]', '', 'g') from unnest(numbers) as spelling));
    end;
  end loop;
end
$$;

create or replace function whatsapp.confirm_link(confirmed uuid, tapper bytea, of_message bytea, sent timestamptz,
  numbers text[], id text, account text, is_accepted boolean)
returns jsonb language plpgsql volatile security definer set search_path = '' as $$
declare
  link whatsapp.link_codes;
  is_answered boolean;
begin
  if coalesce(tapper, '') = '' or coalesce(of_message, '') = ''
    or is_accepted and coalesce(numbers[1], '') = '' and id is null
  then
    raise exception 'the sender or the message is missing' using errcode = 'invalid_parameter_value';
  end if;
  perform whatsapp.lock(4, tapper::text);
  select answered into is_answered from whatsapp.sender_messages
    where sender = tapper and kind = 'wrong_code' and message = of_message;
  if found then
    return jsonb_build_object('outcome', 'expired', 'answer', is_answered);
  end if;

  select * into link from whatsapp.link_codes where link_codes.id = confirmed for update;
  if link.claimed_by = tapper then
    if link.state = 'claimed' and sent < link.expires_at then
      link.state := 'discarded';
      if is_accepted then
        link.moved := whatsapp.link(link.user_id, numbers, id, account, sent);
        link.state := case when link.moved is null then 'superseded' else 'linked' end;
      end if;
      update whatsapp.link_codes set state = link.state, moved = coalesce(link.moved, false), decided_message = of_message
        where link_codes.id = confirmed;
    end if;
    if link.state in ('linked', 'discarded') and coalesce(link.decided_message, of_message) = of_message then
      return jsonb_build_object('outcome', link.state, 'user_id', link.user_id, 'moved', link.moved);
    end if;
  end if;

  is_answered := whatsapp.may_refuse(tapper);
  insert into whatsapp.sender_messages (sender, kind, message, outcome, answered)
    values (tapper, 'wrong_code', of_message, 'expired', is_answered);
  perform whatsapp.expire();
  return jsonb_build_object('outcome', 'expired', 'answer', is_answered);
end
$$;

create or replace function whatsapp.claim_registration_text(receiver bytea, of_message bytea, number_id text,
  digits text)
returns boolean language plpgsql volatile security definer set search_path = '' set jit = off
  set enable_seqscan = off as $$
declare
  latest whatsapp.sender_messages;
begin
  -- An `on conflict` alone would lock the row for each message.
  if number_id is not null and digits ~ '^[1-9][0-9]{4,19}$'
    and not exists (select from whatsapp.business_numbers where phone_number_id = number_id and number = digits)
  then
    insert into whatsapp.business_numbers (phone_number_id, number) values (number_id, digits)
      on conflict (phone_number_id) do update set number = excluded.number;
  end if;
  perform whatsapp.lock(4, receiver::text);
  select * into latest from whatsapp.sender_messages
    where sender = receiver and kind = 'registration'
      and (message = of_message and answered or at > now() - interval '1 day')
    order by message = of_message and answered desc limit 1;
  if found then
    -- A redelivery: the text was sent, however long ago, or not, as far as is known.
    return latest.message = of_message and not latest.answered;
  end if;
  insert into whatsapp.sender_messages (sender, kind, message, answered)
    values (receiver, 'registration', of_message, false)
    on conflict (sender, kind, message) do update set at = now();
  perform whatsapp.expire();
  return true;
end
$$;

create or replace function whatsapp.registration_text_sent(receiver bytea, of_message bytea) returns void
language sql volatile security definer set search_path = '' as $$
  update whatsapp.sender_messages set answered = true
    where sender = receiver and kind = 'registration' and message = of_message
$$;

-- For reply: claims the code of a message for its sender. The `outcome` is the same for each delivery of a message:
--   ask       the sender must confirm `link_id`, for the masked `account`
--   expired   the code cannot be used, or not by this sender; `answer`: whether the sender gets an answer
--   unknown   there is no such code, or the sender sent too many wrong ones; with `answer`
--   decided   the sender was asked by another message with this code, or has answered
create or replace function public.claim_whatsapp_link(code_hash text, sender text, message text, sent_at timestamptz)
returns jsonb language sql volatile set search_path = '' as $$
  select whatsapp.claim_link(decode(code_hash, 'hex'), decode(sender, 'hex'), decode(message, 'hex'), sent_at)
$$;

-- For reply: links (`accept`) or discards a claimed code. `numbers` has the sender's number in every spelling, first
-- the one to be stored, or none. The `outcome` is linked, discarded (both with `user_id` and `moved`) or expired
-- (with `answer`).
create or replace function public.confirm_whatsapp_link(link_id uuid, sender text, message text, sent_at timestamptz,
  numbers text[], whatsapp_user_id text, waba_id text, accept boolean)
returns jsonb language sql volatile set search_path = '' as $$
  select whatsapp.confirm_link(link_id, decode(sender, 'hex'), decode(message, 'hex'), sent_at,
    coalesce(numbers, '{}'), nullif(whatsapp_user_id, ''), nullif(waba_id, ''), coalesce(accept, false))
$$;

-- For reply: whether an unlinked sender gets the registration text for this message: once in 24 hours, and again for
-- the same message until it is stored as sent. Also stores the business number (digits) of the message, if it is given.
create or replace function public.claim_registration_text(sender text, message text, phone_number_id text,
  business_number text)
returns boolean language sql volatile set search_path = '' as $$
  select whatsapp.claim_registration_text(decode(sender, 'hex'), decode(message, 'hex'), nullif(phone_number_id, ''),
    regexp_replace(business_number, '[^0-9]', '', 'g'))
$$;

-- For reply: stores that the registration text was sent in answer to this message.
create or replace function public.registration_text_sent(sender text, message text)
returns void language sql volatile set search_path = '' as $$
  select whatsapp.registration_text_sent(decode(sender, 'hex'), decode(message, 'hex'))
$$;

-- Supabase's default privileges grant everything to every role of the API, and PostgreSQL's to everyone.
revoke all on function whatsapp.masked_account(uuid), whatsapp.may_refuse(bytea), whatsapp.claim_link(bytea, bytea, bytea, timestamptz),
  whatsapp.link(uuid, text[], text, text, timestamptz),
  whatsapp.confirm_link(uuid, bytea, bytea, timestamptz, text[], text, text, boolean),
  whatsapp.claim_registration_text(bytea, bytea, text, text), whatsapp.registration_text_sent(bytea, bytea)
  from public, anon, authenticated, service_role;
revoke all on function public.claim_whatsapp_link(text, text, text, timestamptz),
  public.confirm_whatsapp_link(uuid, text, text, timestamptz, text[], text, text, boolean),
  public.claim_registration_text(text, text, text, text), public.registration_text_sent(text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.claim_whatsapp_link(text, text, text, timestamptz),
  whatsapp.claim_link(bytea, bytea, bytea, timestamptz) to service_role;
grant execute on function public.confirm_whatsapp_link(uuid, text, text, timestamptz, text[], text, text, boolean),
  whatsapp.confirm_link(uuid, bytea, bytea, timestamptz, text[], text, text, boolean) to service_role;
grant execute on function public.claim_registration_text(text, text, text, text),
  whatsapp.claim_registration_text(bytea, bytea, text, text) to service_role;
grant execute on function public.registration_text_sent(text, text), whatsapp.registration_text_sent(bytea, bytea)
  to service_role;
