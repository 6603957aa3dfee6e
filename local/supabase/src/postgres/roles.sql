-- Supabase's roles. Roles belong to the whole server, so on one that is shared they may be there already:
-- those are neither changed nor dropped.
do $$
declare
  wanted record;
begin
  for wanted in
    select * from (values
      ('anon', 'nologin noinherit'),
      ('authenticated', 'nologin noinherit'),
      ('service_role', 'nologin noinherit bypassrls'),
      -- PostgREST's on Supabase. Ours logs in under a name of its own, see database.rs.
      ('authenticator', 'noinherit login'),
      -- Who applies migrations. Not a superuser, on Supabase neither.
      ('postgres', 'createdb createrole bypassrls login')
    ) as roles (name, attributes)
  loop
    begin
      execute format('create role %I %s', wanted.name, wanted.attributes);
      if wanted.name in ('authenticator', 'postgres') then
        execute format('grant anon, authenticated, service_role to %I', wanted.name);
      end if;
    exception
      -- The second is what a race with another session comes to.
      when duplicate_object or unique_violation then null;
    end;
  end loop;
end
$$;
