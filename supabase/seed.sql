-- Two users with linked numbers, for local use only: `supabase db reset` and `cargo run -p local` load them.
-- User A has the sender's number of Meta's sample webhooks. Both sign in with the password "local-password".

insert into auth.users (
  instance_id, id, aud, role, email, encrypted_password, email_confirmed_at,
  -- Supabase Auth reads these as strings and fails on null.
  confirmation_token, recovery_token, email_change_token_new, email_change,
  raw_app_meta_data, raw_user_meta_data, created_at, updated_at
)
select
  '00000000-0000-0000-0000-000000000000', id, 'authenticated', 'authenticated', email,
  -- bcrypt of the password, so that pgcrypto is not needed.
  '$2a$10$YC2l616C.moCTqZDlz7zFO5Mk5xw52tpAi3LSRy0moOBHmxLNP6xe', now(),
  '', '', '', '',
  '{"provider": "email", "providers": ["email"]}', '{}', now(), now()
from (values
  ('11111111-1111-4111-8111-111111111111'::uuid, 'a@example.com'),
  ('22222222-2222-4222-8222-222222222222'::uuid, 'b@example.com')
) as seeded (id, email)
on conflict (id) do nothing;

insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
select
  id::text, id, jsonb_build_object('sub', id::text, 'email', email, 'email_verified', true), 'email',
  now(), now(), now()
from auth.users
where id in ('11111111-1111-4111-8111-111111111111', '22222222-2222-4222-8222-222222222222')
on conflict (provider_id, provider) do nothing;

insert into public.user_preferences (user_id, whatsapp_phone) values
  ('11111111-1111-4111-8111-111111111111', '+16505551234'),
  ('22222222-2222-4222-8222-222222222222', '+16505555678')
on conflict (user_id) do nothing;
