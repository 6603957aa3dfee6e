-- No constraints: no keys, a repeated number, invalid numbers, rows without a user, repeated and null ids.
create table public.user_preferences (user_id uuid, whatsapp_phone text);
create table public.messages (
  id uuid, user_id uuid, avatar_id uuid, channel text, role text, content text, created_at timestamp
);
insert into auth.users (id, email) values ('aaaaaaaa-0000-4000-8000-000000000001', 'old-a@example.com');
insert into public.user_preferences values
  ('aaaaaaaa-0000-4000-8000-000000000001', '+16505550001'),
  ('aaaaaaaa-0000-4000-8000-000000000001', null),
  ('aaaaaaaa-0000-4000-8000-000000000002', '16505550001'),
  (null, '+16505550001'),
  ('aaaaaaaa-0000-4000-8000-000000000003', 'call me'),
  ('aaaaaaaa-0000-4000-8000-000000000004', ''),
  (null, '');
insert into public.messages (id, user_id, channel, role, content) values
  ('cccccccc-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000001', 'web', 'user', 'first'),
  ('cccccccc-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000001', 'web', 'user', 'same id'),
  (null, 'aaaaaaaa-0000-4000-8000-000000000001', 'web', 'user', 'no id'),
  (null, null, null, null, null);
