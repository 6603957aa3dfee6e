-- The rights on every table, for every role of the API and every verb: allowed and denied.
-- Run by `supabase test db` and by `cargo test -p local-supabase`. Prints TAP; needs no pgTAP.

begin;

insert into auth.users (id, email) values
  ('aaaaaaaa-0000-4000-8000-000000000001', 'rls-a@example.com'),
  ('aaaaaaaa-0000-4000-8000-000000000002', 'rls-b@example.com'),
  ('aaaaaaaa-0000-4000-8000-000000000003', 'rls-c@example.com');
-- The cases below count rows: the rows of other tests and of the seed are deleted, and the rollback at the end restores
-- them.
delete from public.messages;
delete from public.user_preferences;
insert into public.user_preferences (user_id, whatsapp_phone) values
  ('aaaaaaaa-0000-4000-8000-000000000001', '+16505550001'),
  ('aaaaaaaa-0000-4000-8000-000000000002', '+16505550002');
delete from public.message_statuses;
delete from public.account_events;
delete from adoption.notes;
insert into adoption.notes (about, note) values ('messages', 'changed');
insert into public.messages (user_id, channel, role, content, wamids) values
  ('aaaaaaaa-0000-4000-8000-000000000001', 'whatsapp', 'user', 'of a', array['wamid.a1']),
  ('aaaaaaaa-0000-4000-8000-000000000001', 'whatsapp', 'assistant', 'of a', array['wamid.a2']),
  ('aaaaaaaa-0000-4000-8000-000000000002', 'whatsapp', 'user', 'of b', array['wamid.b1']);
insert into public.message_statuses (id, wamid, status, at) values
  ('bbbbbbbb-0000-4000-8000-000000000001', 'wamid.a2', 'sent', now()),
  ('bbbbbbbb-0000-4000-8000-000000000002', 'wamid.unknown', 'sent', now());
insert into public.account_events (id, received_at, field, payload) values
  ('cccccccc-0000-4000-8000-000000000001', now(), 'account_update', '{}');
delete from public.stored_answers;
insert into public.stored_answers (message_id, user_id, text) values
  ('eeeeeeee-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000001', 'to a');
delete from whatsapp.link_codes;
delete from whatsapp.sender_messages;
delete from whatsapp.business_numbers;
insert into whatsapp.link_codes (id, user_id, code_hash, state, claimed_by) values
  ('dddddddd-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000001', '\x01', 'claimed', '\x0a'),
  ('dddddddd-0000-4000-8000-000000000002', 'aaaaaaaa-0000-4000-8000-000000000002', '\x02', 'open', null);
insert into whatsapp.sender_messages (sender, kind, message, answered) values ('\x0a', 'registration', '\x0b', true);
insert into whatsapp.business_numbers (phone_number_id, number) values ('106540352242922', '15550783881');

-- Returns the outcome of a statement for a role: the number of rows, or the error code. The statement is rolled back.
create function pg_temp.outcome(who text, signed_in_as text, statement text) returns text
language plpgsql as $$
declare
  touched bigint;
begin
  perform set_config('request.jwt.claims', json_build_object('role', who, 'sub', signed_in_as)::text, true);
  perform set_config('role', who, true);
  begin
    execute statement;
    get diagnostics touched = row_count;
    raise exception 'roll back' using errcode = 'UNDO1';
  exception
    when sqlstate 'UNDO1' then null;
    when others then touched := null; perform set_config('test.code', sqlstate, true);
  end;
  perform set_config('role', 'none', true);
  return coalesce(touched || ' rows', current_setting('test.code'));
end
$$;

create temporary table cases (
  number int generated always as identity,
  who text, signed_in_as uuid, statement text, expected text
);

-- 42501 is "insufficient privilege": a grant is missing, so policies are not evaluated.
insert into cases (who, signed_in_as, statement, expected)
select who, signed_in_as, statement, expected
from (values
  ('select * from public.messages', '42501', '2 rows', '0 rows', '3 rows'),
  ('select * from public.messages where user_id = ''aaaaaaaa-0000-4000-8000-000000000002''',
    '42501', '0 rows', '0 rows', '1 rows'),
  ('insert into public.messages (user_id, channel, role, content)
      values (''aaaaaaaa-0000-4000-8000-000000000001'', ''whatsapp'', ''user'', ''forged'')',
    '42501', '42501', '42501', '1 rows'),
  ('update public.messages set content = ''changed''', '42501', '42501', '42501', '3 rows'),
  ('delete from public.messages', '42501', '42501', '42501', '3 rows'),
  -- Statuses refer to messages: both, or `cascade`.
  ('truncate public.messages, public.message_statuses', '42501', '42501', '42501', '0 rows'),
  ('truncate public.messages cascade', '42501', '42501', '42501', '0 rows'),
  ('select * from public.user_preferences', '42501', '1 rows', '0 rows', '2 rows'),
  ('select * from public.user_preferences where user_id = ''aaaaaaaa-0000-4000-8000-000000000002''',
    '42501', '0 rows', '0 rows', '1 rows'),
  ('insert into public.user_preferences (user_id, whatsapp_phone)
      values (''aaaaaaaa-0000-4000-8000-000000000003'', ''+16505550003'')',
    '42501', '42501', '42501', '1 rows'),
  ('update public.user_preferences set whatsapp_phone = ''+16505550009''
      where user_id = ''aaaaaaaa-0000-4000-8000-000000000001''',
    '42501', '42501', '42501', '1 rows'),
  ('delete from public.user_preferences', '42501', '42501', '42501', '2 rows'),
  ('truncate public.user_preferences', '42501', '42501', '42501', '0 rows'),
  -- One user per number, in any spelling.
  ('update public.user_preferences set whatsapp_phone = ''16505550002''
      where user_id = ''aaaaaaaa-0000-4000-8000-000000000001''',
    '42501', '42501', '42501', '23505'),
  ('update public.user_preferences set whatsapp_phone = ''650 555 0009''
      where user_id = ''aaaaaaaa-0000-4000-8000-000000000001''',
    '42501', '42501', '42501', '23514'),
  ('update public.user_preferences set whatsapp_user_id = ''US.13491208655302741918''
      where user_id = ''aaaaaaaa-0000-4000-8000-000000000001''',
    '42501', '42501', '42501', '1 rows'),
  -- One user per id, and only valid ids.
  ('update public.user_preferences set whatsapp_user_id = ''US.13491208655302741918''',
    '42501', '42501', '42501', '23505'),
  ('update public.user_preferences set whatsapp_user_id = ''us 1''', '42501', '42501', '42501', '23514'),
  -- A user sees statuses only as columns of their own messages.
  ('select * from public.messages where status = ''sent''', '42501', '1 rows', '0 rows', '1 rows'),
  ('select * from public.message_statuses', '42501', '42501', '42501', '2 rows'),
  ('insert into public.message_statuses (id, wamid, status, at)
      values (''bbbbbbbb-0000-4000-8000-000000000003'', ''wamid.a2'', ''read'', now())',
    '42501', '42501', '42501', '1 rows'),
  ('update public.message_statuses set status = ''read''', '42501', '42501', '42501', '2 rows'),
  ('delete from public.message_statuses', '42501', '42501', '42501', '2 rows'),
  ('truncate public.message_statuses', '42501', '42501', '42501', '0 rows'),
  ('select * from public.account_events', '42501', '42501', '42501', '1 rows'),
  ('insert into public.account_events (id, received_at, field, payload)
      values (''cccccccc-0000-4000-8000-000000000002'', now(), ''account_alerts'', ''{}'')',
    '42501', '42501', '42501', '1 rows'),
  ('update public.account_events set field = ''changed''', '42501', '42501', '42501', '1 rows'),
  ('delete from public.account_events', '42501', '42501', '42501', '1 rows'),
  ('truncate public.account_events', '42501', '42501', '42501', '0 rows'),
  -- Replies that are not recorded yet, not even the user's own.
  ('select * from public.stored_answers', '42501', '42501', '42501', '1 rows'),
  ('insert into public.stored_answers (message_id, text)
      values (''eeeeeeee-0000-4000-8000-000000000002'', ''hi'')', '42501', '42501', '42501', '1 rows'),
  ('update public.stored_answers set text = ''changed''', '42501', '42501', '42501', '1 rows'),
  ('delete from public.stored_answers', '42501', '42501', '42501', '1 rows'),
  ('truncate public.stored_answers', '42501', '42501', '42501', '0 rows'),
  -- What the answers of a language model come to.
  ('select public.llm_usage(''aaaaaaaa-0000-4000-8000-000000000001'')', '42501', '42501', '42501', '1 rows'),
  -- The notes of the migrations.
  ('select * from public.adoption_notes()', '42501', '42501', '42501', '1 rows'),
  ('select * from adoption.notes', '42501', '42501', '42501', '1 rows'),
  ('delete from adoption.notes', '42501', '42501', '42501', '42501'),
  ('select adoption.note(''messages'', ''changed'')', '42501', '42501', '42501', '42501'),
  -- The functions of triggers, which the API could expose.
  ('select public.lock_wamids(1, array[''wamid.a2''])', '42501', '42501', '42501', '42501'),
  ('select public.apply_message_statuses(array[gen_random_uuid()])', '42501', '42501', '42501', '42501'),
  ('select public.message_statuses_find_message()', '42501', '42501', '42501', '42501'),
  ('select public.message_statuses_change_messages()', '42501', '42501', '42501', '42501'),
  ('select public.messages_take_up_statuses()', '42501', '42501', '42501', '42501'),
  ('select public.messages_mark_edited()', '42501', '42501', '42501', '42501'),
  ('select public.user_preferences_whatsapp_user_id()', '42501', '42501', '42501', '42501'),
  ('select public.message_statuses_expire()', '42501', '42501', '42501', '42501'),
  ('select public.messages_delete_stored_answers()', '42501', '42501', '42501', '42501'),
  ('select public.stored_answers_expire()', '42501', '42501', '42501', '42501'),
  ('select public.account_events_expire()', '42501', '42501', '42501', '42501'),
  ('select public.user_preferences_forget()', '42501', '42501', '42501', '42501'),
  ('select public.phone_spellings(''+16505550001'')', '42501', '42501', '42501', '42501'),
  ('select public.names_of_person(''+16505550001'', null)', '42501', '42501', '42501', '42501'),
  ('select public.user_preferences_whatsapp_identity()', '42501', '42501', '42501', '42501'),
  ('select public.keep_identity_event(''{"id": "cccccccc-0000-4000-8000-000000000003", "received_at": "2026-11-27T00:00Z",
      "field": "messages.system", "payload": {}}'', ''[]'')', '42501', '42501', '42501', '1 rows'),
  -- Linking: codes, pseudonyms and business numbers are read and written only by the functions.
  ('select * from whatsapp.link_codes', '42501', '42501', '42501', '2 rows'),
  ('insert into whatsapp.link_codes (user_id, code_hash)
      values (''aaaaaaaa-0000-4000-8000-000000000003'', ''\x03'')',
    '42501', '42501', '42501', '1 rows'),
  ('update whatsapp.link_codes set claimed_by = ''\x0c''', '42501', '42501', '42501', '2 rows'),
  ('delete from whatsapp.link_codes', '42501', '42501', '42501', '2 rows'),
  ('truncate whatsapp.link_codes', '42501', '42501', '42501', '0 rows'),
  ('select * from whatsapp.sender_messages', '42501', '42501', '42501', '1 rows'),
  ('insert into whatsapp.sender_messages (sender, kind, message, answered)
      values (''\x0a'', ''wrong_code'', ''\x0b'', true)',
    '42501', '42501', '42501', '1 rows'),
  ('update whatsapp.sender_messages set answered = false', '42501', '42501', '42501', '1 rows'),
  ('delete from whatsapp.sender_messages', '42501', '42501', '42501', '1 rows'),
  ('truncate whatsapp.sender_messages', '42501', '42501', '42501', '0 rows'),
  ('select * from whatsapp.business_numbers', '42501', '42501', '42501', '1 rows'),
  ('insert into whatsapp.business_numbers (phone_number_id, number) values (''1'', ''15550783882'')',
    '42501', '42501', '42501', '1 rows'),
  ('update whatsapp.business_numbers set number = ''15550783882''', '42501', '42501', '42501', '1 rows'),
  ('delete from whatsapp.business_numbers', '42501', '42501', '42501', '1 rows'),
  ('truncate whatsapp.business_numbers', '42501', '42501', '42501', '0 rows'),
  -- One code of a user that can still link.
  ('insert into whatsapp.link_codes (user_id, code_hash)
      values (''aaaaaaaa-0000-4000-8000-000000000002'', ''\x03'')',
    '42501', '42501', '42501', '23505'),
  -- A user creates codes and removes the link; the service role claims and confirms.
  ('select public.create_whatsapp_link()', '42501', '1 rows', '1 rows', '42501'),
  ('select public.delete_whatsapp_link()', '42501', '1 rows', '1 rows', '42501'),
  ('select public.claim_whatsapp_link(''01'', ''0a'', ''0d'', now())', '42501', '42501', '42501', '1 rows'),
  ('select public.confirm_whatsapp_link(''dddddddd-0000-4000-8000-000000000001'', ''0a'', ''0e'', now(),
      ''{+16505550001}'', null, null, true)', '42501', '42501', '42501', '1 rows'),
  ('select public.claim_registration_text(''0f'', ''0e'', null, null)', '42501', '42501', '42501', '1 rows'),
  ('select public.registration_text_sent(''0f'', ''0e'')', '42501', '42501', '42501', '1 rows'),
  -- The functions behind them are in a schema that the API does not expose.
  ('select whatsapp.create_link()', '42501', '1 rows', '1 rows', '42501'),
  ('select whatsapp.delete_link()', '42501', '1 rows', '1 rows', '42501'),
  ('select whatsapp.claim_link(''\x01'', ''\x0a'', ''\x0d'', now())', '42501', '42501', '42501', '1 rows'),
  ('select whatsapp.confirm_link(''dddddddd-0000-4000-8000-000000000001'', ''\x0a'', ''\x0e'', now(),
      ''{+16505550001}'', null, null, true)', '42501', '42501', '42501', '1 rows'),
  ('select whatsapp.claim_registration_text(''\x0f'', ''\x0e'', null, null)', '42501', '42501', '42501', '1 rows'),
  ('select whatsapp.registration_text_sent(''\x0f'', ''\x0e'')', '42501', '42501', '42501', '1 rows'),
  ('select whatsapp.link(''aaaaaaaa-0000-4000-8000-000000000001'', ''{+16505550002}'', null, null, now())',
    '42501', '42501', '42501', '42501'),
  ('select whatsapp.masked_account(''aaaaaaaa-0000-4000-8000-000000000001'')', '42501', '42501', '42501', '42501'),
  ('select whatsapp.new_code()', '42501', '42501', '42501', '42501'),
  ('select whatsapp.lock(3, ''a'')', '42501', '42501', '42501', '42501'),
  ('select whatsapp.expire()', '42501', '42501', '42501', '42501')
) as statements (statement, as_anon, as_a, as_c, as_service)
cross join lateral (values
  ('anon', null::uuid, as_anon),
  ('authenticated', 'aaaaaaaa-0000-4000-8000-000000000001'::uuid, as_a),
  -- Signed in, without a row of their own.
  ('authenticated', 'aaaaaaaa-0000-4000-8000-000000000003'::uuid, as_c),
  ('service_role', null::uuid, as_service)
) as expectations (who, signed_in_as, expected);

-- The role `authenticated` without a signed-in user sees no rows.
insert into cases (who, signed_in_as, statement, expected) values
  ('authenticated', null, 'select * from public.messages', '0 rows'),
  ('authenticated', null, 'select * from public.user_preferences', '0 rows'),
  ('authenticated', null, 'select * from public.message_statuses', '42501'),
  ('authenticated', null, 'select * from public.account_events', '42501'),
  ('authenticated', null, 'select * from public.stored_answers', '42501'),
  ('authenticated', null, 'select * from whatsapp.link_codes', '42501'),
  ('authenticated', null, 'select public.create_whatsapp_link()', '42501'),
  ('authenticated', null, 'select public.delete_whatsapp_link()', '1 rows');

select '1..' || count(*) from cases;

select format('%s %s - %s: %s', case when got = expected then 'ok' else 'not ok' end, number,
    coalesce(who || ' ' || right(signed_in_as::text, 1), who), regexp_replace(statement, '\s+', ' ', 'g'))
  || case when got = expected then '' else format(E'\n# expected %s, got %s', expected, got) end
from cases cross join lateral pg_temp.outcome(who, signed_in_as::text, statement) as got
order by number;

rollback;
