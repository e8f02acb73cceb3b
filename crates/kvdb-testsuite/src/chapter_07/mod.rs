//! Contract chapter 7: watches.

mod callback;
mod cuts;
mod events;
mod gaps;
mod ordered;
mod readers;
mod reconnect;
mod registration;
mod slow;
mod start;
mod writers;

crate::trials! {
    "7.1 key, tree and range watches tell puts and deletes of their target alone" => events::of_the_target;
    "7.1 every event carries the pair before it on request" => events::previous;
    "7.2 no write after the call has returned is missed" => registration::by_another_task;
    "7.2 a store's feed is registered when the call returns" => registration::of_the_store;
    "7.2 a second reader of a busy range starts at its own call" => registration::second_reader;
    "7.3 now begins with the next write" => start::now;
    "7.3 after a revision is exclusive and tells everything above it", needs(WATCH_RESUME) => start::after;
    "7.3 a store's feed after a revision is exclusive and says when history is told", needs(WATCH_RESUME) => start::after_of_the_store;
    "7.3 after a revision under concurrent writers has no gap and no double", needs(WATCH_RESUME|ORDERED_UPDATES) => start::after_under_writers;
    "7.3 current tells the present state, Synced, then every change without a gap" => start::current;
    "7.3 current is the state as of the call, whenever it is read", needs(ORDERED_UPDATES) => start::current_as_of_the_call;
    "7.3 current under concurrent writers has no gap and no double", needs(ORDERED_UPDATES) => start::current_under_writers;
    "7.4 a key that does not exist yet can be watched" => events::not_there_yet;
    "7.5 concurrent writers: every write is one event, in order, once", needs(ORDERED_UPDATES) => ordered::concurrent;
    "7.5 what one write changes is told together", needs(ORDERED_UPDATES) => ordered::together;
    "7.6 without ordered updates a stream is a series of atomic cuts", lacks(ORDERED_UPDATES) => cuts::series;
    "7.6 without ordered updates the last state of every key arrives", lacks(ORDERED_UPDATES) => cuts::last_states;
    "7.6 a reader that joins within a cut is told the rest of it", lacks(ORDERED_UPDATES) => cuts::joined_within;
    "7.7 a stream survives broken feeds without a gap or a double", needs(ORDERED_UPDATES|WATCH_RESUME) => reconnect::under_writers;
    "7.7 a stream survives a store that is away for a while", needs(WATCH_RESUME) => reconnect::away;
    "7.7 a stream of a store without history resumes by differences", lacks(WATCH_RESUME) => reconnect::without_history;
    "7.8 history that is gone ends a watch with Compacted", needs(WATCH_RESUME|COMPACT) => gaps::compacted;
    "7.8 on_gap(Resync) tells the differences by name, deletions included", needs(WATCH_RESUME|COMPACT) => gaps::differences;
    "7.8 on_gap(Resync) from a revision that is gone tells the whole state", needs(WATCH_RESUME|COMPACT) => gaps::whole_state;
    "7.9 unsupported: after a revision without history is granted if nothing has changed", lacks(WATCH_RESUME) => @alone gaps::unchanged_without_history;
    "7.9 unsupported: after a revision without history is Compacted or the whole state", lacks(WATCH_RESUME) => gaps::changed_without_history;
    "7.10 a watch outlives the call's deadline and quiet times" => readers::outlives_deadline;
    "7.10 drop ends the server's watch" => readers::drop_ends;
    "7.10 close ends the stream with a reason" => readers::close_ends;
    "7.11 a reader that stops reading costs bounded memory and hinders nobody" => slow::stopped_reader;
    "7.11 a reader that stopped goes on by differences with on_gap(Resync)" => @alone slow::stopped_reader_resyncs;
    "7.12 a hundred readers of one range share one upstream watch" => readers::share_one;
    "7.13 the callback form tells changes in order with its prefix and opaque value" => callback::tells;
    "7.13 a callback's error stops the watch, and one last call says WatchStopped" => callback::stops_once;
    "7.13 cancel is idempotent, also from inside, and nothing is called after it" => callback::cancel;
    "7.13 a watch that ends by itself tells the callback why, once" => callback::ends;
}
