-- The user's side of linking, see docs/LINKING.md: an app creates a code for its signed-in user, or removes the link.
--
-- The public functions are thin. They call functions in the unexposed schema, which run with the rights of their owner:
-- users need no other rights.

-- Serializes transactions of one user (3) or one sender (4): the next statement sees the rows of the earlier ones.
create or replace function whatsapp.lock(purpose integer, whom text) returns void
language sql volatile set search_path = '' as $$
  select pg_advisory_xact_lock(purpose, hashtext(whom))
$$;

-- Deletes at most 200 expired rows of each table: more than a call adds, and a bounded delay. Rows locked by another
-- transaction are left to a later call. Without sequential scans, see message_statuses_expire.
create or replace function whatsapp.expire() returns void
language plpgsql volatile set search_path = '' set jit = off set enable_seqscan = off as $$
begin
  if exists (select from whatsapp.link_codes where created_at < now() - interval '1 day') then
    delete from whatsapp.link_codes where id in (
      select id from whatsapp.link_codes where created_at < now() - interval '1 day'
      order by created_at limit 200 for update skip locked);
  end if;
  delete from whatsapp.sender_messages where (sender, kind, message) in (
    select sender, kind, message from whatsapp.sender_messages
    where kind = 'wrong_code' and at < now() - interval '1 day'
    order by at limit 200 for update skip locked);
  -- Meta delivers a message again for seven days.
  delete from whatsapp.sender_messages where (sender, kind, message) in (
    select sender, kind, message from whatsapp.sender_messages
    where kind = 'registration' and at < now() - interval '8 days'
    order by at limit 200 for update skip locked);
end
$$;

-- A random code in the form LLDLLLLDLL: L is one of 24 letters and D one of 8 digits, none of which look alike. The
-- digits make a code recognizable in a text.
create or replace function whatsapp.new_code() returns text
language plpgsql volatile set search_path = '' as $$
declare
  code text := '';
  random bytea;
  position integer;
  drawn integer;
begin
  loop
    random := uuid_send(gen_random_uuid());
    -- Without the bytes 6 and 8, which contain the version and the variant of the UUID.
    foreach position in array array[0, 1, 2, 3, 4, 5, 7, 9, 10, 11, 12, 13, 14, 15] loop
      drawn := get_byte(random, position);
      if length(code) in (2, 7) then
        code := code || (2 + drawn % 8);
      -- The largest multiple of 24 in a byte: each letter is equally likely.
      elsif drawn < 240 then
        code := code || substr('ABCDEFGHJKLMNPQRSTUVWXYZ', 1 + drawn % 24, 1);
      end if;
      if length(code) = 10 then
        return code;
      end if;
    end loop;
  end loop;
end
$$;

create or replace function whatsapp.create_link() returns jsonb
language plpgsql volatile security definer set search_path = '' as $$
declare
  claimant constant uuid := auth.uid();
  business_number text;
  code text;
  expiry timestamptz;
begin
  if claimant is null then
    raise exception 'no user is signed in' using errcode = 'insufficient_privilege';
  end if;
  select number into business_number from whatsapp.business_numbers order by first_seen_at, phone_number_id limit 1;
  if not found then
    raise exception 'no business number is known yet'
      using errcode = 'PT503', hint = 'Send a message to the business number from an unlinked phone first.';
  end if;
  perform whatsapp.lock(3, claimant::text);
  if (select count(*) >= 5 from whatsapp.link_codes
      where user_id = claimant and created_at > now() - interval '1 hour') then
    raise exception 'too many codes' using errcode = 'PT429', hint = 'A user can create 5 codes an hour.';
  end if;
  update whatsapp.link_codes set state = 'superseded' where user_id = claimant and state in ('open', 'claimed');
  code := whatsapp.new_code();
  insert into whatsapp.link_codes (user_id, code_hash) values (claimant, sha256(convert_to(code, 'UTF8')))
    returning expires_at into expiry;
  perform whatsapp.expire();
  code := left(code, 5) || '-' || right(code, 5);
  return jsonb_build_object('code', code, 'expires_at', expiry,
    'url', format('https://wa.me/%s?text=Link%%20my%%20account%%3A%%20%s', business_number, code));
end
$$;

create or replace function whatsapp.delete_link() returns void
language plpgsql volatile security definer set search_path = '' as $$
declare
  claimant constant uuid := auth.uid();
begin
  perform whatsapp.lock(3, claimant::text);
  update whatsapp.link_codes set state = 'superseded' where user_id = claimant and state in ('open', 'claimed');
  -- The trigger on the number makes the empty string null, unless the column of an older program is not nullable.
  update public.user_preferences set whatsapp_phone = '', whatsapp_user_id = null
    where user_id = claimant and (whatsapp_phone <> '' or whatsapp_user_id is not null);
end
$$;

-- For a signed-in user, with the user's token. Returns `code`, the `url` of a WhatsApp message that holds it, and
-- `expires_at`. Supersedes the user's earlier code. Fails with the status 429 after 5 codes in an hour, and with 503
-- before an unlinked sender has written to the business number.
create or replace function public.create_whatsapp_link() returns jsonb
language sql volatile set search_path = '' as $$
  select whatsapp.create_link()
$$;

-- For a signed-in user, with the user's token: removes the user's number and user id of WhatsApp. The history stays.
create or replace function public.delete_whatsapp_link() returns void
language sql volatile set search_path = '' as $$
  select whatsapp.delete_link()
$$;

-- Supabase's default privileges grant everything to every role of the API, and PostgreSQL's to everyone.
revoke all on function whatsapp.lock(integer, text), whatsapp.expire(), whatsapp.new_code(), whatsapp.create_link(),
  whatsapp.delete_link() from public, anon, authenticated, service_role;
revoke all on function public.create_whatsapp_link(), public.delete_whatsapp_link()
  from public, anon, authenticated, service_role;
grant execute on function public.create_whatsapp_link(), whatsapp.create_link() to authenticated;
grant execute on function public.delete_whatsapp_link(), whatsapp.delete_link() to authenticated;
