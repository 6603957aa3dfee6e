-- The FastAPI program's tables as defined by its models: UUIDs, avatar_id required, timestamps without time
-- zone.
create table public.user_preferences (
  user_id uuid primary key,
  whatsapp_phone varchar(20),
  theme text not null default 'dark'
);
create table public.avatars (id uuid primary key);
create table public.messages (
  id uuid primary key,
  user_id uuid not null,
  avatar_id uuid not null references public.avatars (id),
  channel varchar(10) not null,
  role varchar(10) not null,
  content varchar(4000) not null,
  created_at timestamp default (now() at time zone 'utc')
);
insert into auth.users (id, email) values
  ('aaaaaaaa-0000-4000-8000-000000000001', 'old-a@example.com'),
  ('aaaaaaaa-0000-4000-8000-000000000002', 'old-b@example.com');
insert into public.avatars values ('bbbbbbbb-0000-4000-8000-000000000001');
insert into public.user_preferences (user_id, whatsapp_phone) values
  ('aaaaaaaa-0000-4000-8000-000000000001', '+1 (650) 555-0001'),
  ('aaaaaaaa-0000-4000-8000-000000000002', '16505550002');
insert into public.messages (id, user_id, avatar_id, channel, role, content, created_at) values
  ('cccccccc-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000001',
   'bbbbbbbb-0000-4000-8000-000000000001', 'whatsapp', 'user', 'first', '2026-01-02 03:04:05'),
  ('cccccccc-0000-4000-8000-000000000002', 'aaaaaaaa-0000-4000-8000-000000000001',
   'bbbbbbbb-0000-4000-8000-000000000001', 'web', 'assistant', 'second', '2026-01-02 03:04:06'),
  ('cccccccc-0000-4000-8000-000000000003', 'aaaaaaaa-0000-4000-8000-000000000001',
   'bbbbbbbb-0000-4000-8000-000000000001', 'web', 'user', 'without a time', null),
  ('cccccccc-0000-4000-8000-000000000004', 'aaaaaaaa-0000-4000-8000-000000000002',
   'bbbbbbbb-0000-4000-8000-000000000001', 'web', 'user', 'of another', '2026-02-02 00:00:00');
