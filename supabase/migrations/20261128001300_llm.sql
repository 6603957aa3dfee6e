-- Answers of a language model: their details, and what they come to in a day, for the limits. See docs/LLM.md.

alter table public.stored_answers add column if not exists details jsonb,
  add column if not exists messages integer not null default 1;
comment on column public.stored_answers.messages is 'The number of messages that the reply answers.';
comment on column public.stored_answers.details is
  'What the row of the reply gets as "llm" in its payload; null for a responder without details.';

-- The answers since a time, of all users.
create index if not exists messages_llm_idx on public.messages (created_at)
  where role = 'assistant' and payload ? 'llm';

-- What a language model's answers of this day, in UTC, come to: answers (also with the fallback text) to the user and to
-- all users, output tokens for all users, and notices of a limit to the user. Rows that wait for the database are not
-- counted yet.
--
-- For the service role only. Without sequential scans: see message_statuses_expire.
create or replace function public.llm_usage(user_id uuid) returns jsonb
language sql stable security invoker set search_path = '' set jit = off set enable_seqscan = off as $$
  select jsonb_build_object(
      'user_answers', count(*) filter (where source in ('model', 'fallback') and is_of_user),
      'answers', count(*) filter (where source in ('model', 'fallback')),
      'output_tokens', coalesce(sum(tokens), 0),
      'limit_notices', count(*) filter (where source = 'limit' and is_of_user))
    from (
      select payload #>> '{llm,source}' as source, messages.user_id = llm_usage.user_id as is_of_user,
          -- Unless another program wrote something else.
          case jsonb_typeof(payload #> '{llm,output_tokens}') when 'number'
            then (payload #>> '{llm,output_tokens}')::numeric end as tokens
        from public.messages
        where role = 'assistant' and payload ? 'llm' and created_at >= date_trunc('day', now(), 'UTC')
    ) answers
$$;

revoke all on function public.llm_usage(uuid) from public, anon, authenticated;
grant execute on function public.llm_usage(uuid) to service_role;
