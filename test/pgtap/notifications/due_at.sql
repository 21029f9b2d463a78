/*
 * Quiet hours and digests on the clock on the wall, over the changes of the clock: in Berlin in 2026 on 29 March,
 * from 2:00 to 3:00, and on 25 October, from 3:00 back to 2:00.
 */
begin;
select plan(30);

create function pg_temp.quiet(at timestamptz, quiet_from text, quiet_to text, zone text default 'Europe/Berlin')
returns timestamptz language sql as $$
  select app_private.quiet_until(at, zone, quiet_from, quiet_to)
$$;

select is(pg_temp.quiet('2026-01-10 12:00Z', null, null), null, 'without quiet hours it is never quiet');
select is(pg_temp.quiet('2026-01-10 11:59Z', '13:00', '14:00'), null, 'it is not quiet before they begin');
select is(pg_temp.quiet('2026-01-10 12:00Z', '13:00', '14:00'), '2026-01-10 13:00Z', 'it is from their first minute');
select is(pg_temp.quiet('2026-01-10 12:59:59Z', '13:00', '14:00'), '2026-01-10 13:00Z', 'it is in their last');
select is(pg_temp.quiet('2026-01-10 13:00Z', '13:00', '14:00'), null, 'it is not at their end');
select is(pg_temp.quiet('2026-01-10 20:59Z', '22:00', '07:00'), null, 'over midnight: not before');
select is(pg_temp.quiet('2026-01-10 21:00Z', '22:00', '07:00'), '2026-01-11 06:00Z', 'in the evening, until morning');
select is(pg_temp.quiet('2026-01-11 05:59Z', '22:00', '07:00'), '2026-01-11 06:00Z', 'in the morning, of the same day');
select is(pg_temp.quiet('2026-01-11 06:00Z', '22:00', '07:00'), null, 'not after');
select is(pg_temp.quiet('2026-01-31 23:30Z', '22:00', '07:00'), '2026-02-01 06:00Z', 'over the end of a month');
select is(pg_temp.quiet('2026-01-10 12:00Z', '00:00', '12:00', 'Pacific/Auckland'), '2026-01-10 23:00Z',
  'the day is that of the reader');

-- The night in which the clock is put forward is an hour shorter, and the other one an hour longer.
select is(pg_temp.quiet('2026-03-28 21:00Z', '22:00', '07:00'), '2026-03-29 05:00Z', 'a night of eight hours');
select is(pg_temp.quiet('2026-10-24 20:00Z', '22:00', '07:00'), '2026-10-25 06:00Z', 'a night of ten hours');
select is(pg_temp.quiet('2026-03-29 00:30Z', '01:00', '02:30'), '2026-03-29 01:30Z',
  'an end that the clock jumps over is when it has jumped');
select is(pg_temp.quiet('2026-03-29 01:00Z', '01:00', '02:30'), null, 'after the jump it is not quiet');
select is(pg_temp.quiet('2026-10-25 00:10Z', '22:00', '02:30'), '2026-10-25 01:30Z',
  'an end that comes twice is the second one');
select is(pg_temp.quiet('2026-10-25 01:10Z', '22:00', '02:30'), '2026-10-25 01:30Z', 'in the second hour, too');
select is(pg_temp.quiet('2026-10-25 01:30Z', '22:00', '02:30'), null, 'and then it is over');

-- Whenever it is, the end of the quiet hours lies ahead, and within a day.
select is_empty($$
  select t from generate_series(timestamptz '2026-03-28Z', '2026-03-30Z', '7 minutes') t
  where not pg_temp.quiet(t, '22:00', '02:30') between t + interval '1 second' and t + interval '1 day'
  union all
  select t from generate_series(timestamptz '2026-10-24Z', '2026-10-26Z', '7 minutes') t
  where not pg_temp.quiet(t, '22:00', '02:30') between t + interval '1 second' and t + interval '1 day'$$,
  'the end is always ahead');
select is_empty($$
  select t from generate_series(timestamptz '2026-03-28Z', '2026-03-30Z', '7 minutes') t
  where pg_temp.quiet(t, '22:00', '07:00') is not null
    and pg_temp.quiet(pg_temp.quiet(t, '22:00', '07:00'), '22:00', '07:00') is not null$$,
  'at the end it is quiet no more');

create function pg_temp.digest(at timestamptz, digest text) returns timestamptz language sql as $$
  select app_private.next_digest_at(at, digest::app_public.notification_digest, 'Europe/Berlin')
$$;
select is(pg_temp.digest('2026-01-10 12:34Z', 'none'), null, 'no digest');
select is(pg_temp.digest('2026-01-10 12:34Z', 'hourly'), '2026-01-10 13:00Z', 'an hourly one at the full hour');
select is(pg_temp.digest('2026-01-10 13:00Z', 'hourly'), '2026-01-10 14:00Z', 'at the full hour the next');
select is(pg_temp.digest('2026-01-10 06:59Z', 'daily'), '2026-01-10 07:00Z', 'a daily one at eight');
select is(pg_temp.digest('2026-01-10 07:00Z', 'daily'), '2026-01-11 07:00Z', 'at eight the next');
select is(pg_temp.digest('2026-03-28 12:00Z', 'daily'), '2026-03-29 06:00Z', 'also when the clock was put forward');
select is(pg_temp.digest('2026-10-24 12:00Z', 'daily'), '2026-10-25 07:00Z', 'and back');

select is(app_private.language_chain('de-AT', 'fr-CH'), '{de-AT,de,fr-CH,fr,en}', 'languages, the best first');
select is(app_private.language_chain(null, 'de'), '{de,en}', 'of a person who has not chosen');
select is(app_private.language_chain('en', 'en-GB'), '{en,en-GB}', 'each once');

select * from finish();
rollback;
