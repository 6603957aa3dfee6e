-- A message that Meta will never let us answer is recorded with the reason.
alter table public.messages add column if not exists unanswered_because text;

comment on column public.messages.unanswered_because is
    'Why a user''s message has no answer: the Graph API''s error, when it is final. Null otherwise.';
