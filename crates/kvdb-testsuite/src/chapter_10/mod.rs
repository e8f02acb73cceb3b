//! Chapter 10: calls in general.

mod cancel;
mod close;
mod compact;
mod deadline;
mod errors;
mod hostile;
mod retry;
mod settle;

use crate::trials;

trials! {
    "10.1 every call ends at its deadline when the store stalls" => deadline::every_call;
    "10.1 the handle's deadline holds where a call has none" => deadline::of_the_handle;
    "10.1 the deadline is 10 s unless set" => deadline::default;
    "10.1 the deadline bounds one page, not the whole list" => deadline::of_a_page;
    "10.1 a watch's deadline bounds its registration alone" => deadline::of_a_watch;
    "10.1 a call that waits its deadline out does not hinder the next" => deadline::next_call;
    "10.2 a write dropped at any await is there wholly or not at all" => cancel::writes;
    "10.2 a delete_tree dropped at any await removed all or nothing", needs(DELETE_RANGE) => cancel::delete_tree;
    "10.2 a put with a TTL dropped at any await leaves no lease without its key", needs(TTL) => cancel::put_with_ttl;
    "10.2 reads and watches dropped at any await leave nothing" => cancel::reads;
    "10.3 reads are tried again while the store cannot be reached" => retry::reads;
    "10.3 writes that surely were not sent are tried again, once done" => retry::writes;
    "10.3 tries back off and end with the deadline" => retry::back_off;
    "10.3 what cannot get better is not tried again" => retry::hopeless;
    "10.3 a write that may have been sent is not tried again unguarded" => retry::ambiguous;
    "10.4 a guarded write whose reply is lost is never its own conflict" => settle::reply_lost;
    "10.4 a guarded write that did not arrive is made again" => settle::not_arrived;
    "10.4 a guarded write that was undone before it was looked for is not done again", needs(WATCH_RESUME) => settle::undone;
    "10.4 a guarded write that was sent again is not done a second time by a late first try", needs(WATCH_RESUME|LEASES) => settle::late;
    "10.4 equal bytes of another writer never prove a write" => settle::equal_bytes;
    "10.4 a write under a lease of its own is proved by it", needs(TTL) => settle::own_lease;
    "10.4 an unguarded write whose reply is lost is Ambiguous and stands once" => settle::unguarded;
    "10.4 a guarded write that gets no answer in time is Ambiguous" => settle::no_answer;
    "10.5 close releases leases", needs(LEASES) => close::leases;
    "10.5 close releases locks", needs(LEASES) => close::locks;
    "10.5 close ends watches with a reason" => close::watches;
    "10.5 after close every call is Closed, on every clone" => close::later_calls;
    "10.5 close does not touch other handles" => close::other_handles;
    "10.5 close while calls run loses no answered write" => close::while_busy;
    "10.6 errors carry kind, retry class, operation, key and backend" => errors::carry;
    "10.6 the source of an error is kept" => errors::source;
    "10.6 no value or secret shows in an error, Debug or log" => errors::canary;
    "10.7 no verb panics on any text" => @alone hostile::texts;
    "10.7 no verb panics on any options" => @alone hostile::options;
    "10.7 the backend panics on no bytes, ranges, batches or leases" => @alone hostile::backend;
    "10.8 compact of what is compacted is Ok, of what is to come FutureRevision", needs(COMPACT) => compact::compact;
    "10.8 compaction keeps what is live", needs(COMPACT) => compact::keeps_what_is_live;
    "10.8 unsupported: compact", lacks(COMPACT) => compact::unsupported;
}
