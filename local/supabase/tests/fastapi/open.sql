-- Insecure: row-level security is on, but an old policy allows everyone to read and write everything.
create table public.user_preferences (user_id uuid primary key, whatsapp_phone text);
create table public.messages (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  avatar_id uuid not null,
  channel text not null,
  role text not null,
  content text not null,
  created_at timestamptz default now()
);
alter table public.messages enable row level security;
alter table public.user_preferences enable row level security;
create policy "Enable read access for all users" on public.messages for select using (true);
create policy "anyone writes" on public.messages for all to anon, authenticated using (true) with check (true);
create policy "not the archived" on public.messages as restrictive for select to authenticated using (content <> 'archived');
create policy "all preferences" on public.user_preferences using (true) with check (true);
grant select (content) on public.messages to anon;
insert into auth.users (id, email) values ('aaaaaaaa-0000-4000-8000-000000000001', 'old-a@example.com');
insert into public.user_preferences values ('aaaaaaaa-0000-4000-8000-000000000001', '+16505550001');
insert into public.messages (user_id, avatar_id, channel, role, content) values
  ('aaaaaaaa-0000-4000-8000-000000000001', gen_random_uuid(), 'whatsapp', 'user', 'first'),
  ('aaaaaaaa-0000-4000-8000-000000000001', gen_random_uuid(), 'whatsapp', 'user', 'archived');
