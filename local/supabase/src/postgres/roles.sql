-- Supabase's roles. Roles belong to the whole server, so on a shared server they may already exist: existing
-- roles are neither changed nor dropped.
do $$
declare
  wanted record;
begin
  for wanted in
    select * from (values
      ('anon', 'nologin noinherit'),
      ('authenticated', 'nologin noinherit'),
      ('service_role', 'nologin noinherit bypassrls'),
      -- PostgREST's login role on Supabase. Ours logs in with another name, see database.rs.
      ('authenticator', 'noinherit login'),
      -- The role for migrations. Not a superuser, as on Supabase.
      ('postgres', 'createdb createrole bypassrls login')
    ) as roles (name, attributes)
  loop
    begin
      execute format('create role %I %s', wanted.name, wanted.attributes);
      if wanted.name in ('authenticator', 'postgres') then
        execute format('grant anon, authenticated, service_role to %I', wanted.name);
      end if;
    exception
      -- unique_violation: a race with another session.
      when duplicate_object or unique_violation then null;
    end;
  end loop;
end
$$;
